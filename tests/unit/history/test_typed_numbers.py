import pytest

from ponikeeper.errors import ConfigError
from ponikeeper.history.typed_numbers import revision_number


def test_number_is_returned():
    assert revision_number("12") == 12


@pytest.mark.parametrize("text", ["near", "", "-1", "1.0", "²", " 1"])
def test_anything_else_is_refused_with_where_the_numbers_are(text):
    with pytest.raises(ConfigError, match="is not the number of a revision: expected one such as 12; ponikeeper"):
        revision_number(text)
