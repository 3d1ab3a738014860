"""What is checked before a model is fitted."""

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper_client.fit.commit import parse_commit_options
from ponikeeper_client.model.command import Committing


@pytest.mark.parametrize("label", ["7", "", "near far", "n" * 100])
def test_label_is_checked_before_anything_is_fitted(label):
    with pytest.raises(ConfigError, match=r"^--label .* is not allowed: expected a letter"):
        Committing(label)
    with pytest.raises(ConfigError, match=r"^--label .* is not allowed: expected a letter"):
        parse_commit_options("P:", label, here=True, no_position=False, wait=False, timeout=None)


def test_label_that_is_allowed_or_none_is_accepted():
    assert Committing("travel").label == "travel"
    assert Committing().label is None
