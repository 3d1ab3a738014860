"""The file of a model."""

from pathlib import Path

import pytest

from ponikeeper.errors import ModelError
from ponikeeper_client.model.model_file import load_model


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "this is not JSON"),
        ("[]", "this is not a JSON object"),
        ('{"v": 1}', '"what" is missing'),
        ("\xe4", "JSON"),
    ],
)
def test_file_that_is_no_model_is_refused_by_its_name(tmp_path, text, problem):
    file = tmp_path / "travel.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=problem) as error:
        load_model(file)
    assert all(str(file) in each for each in error.value.problems)
    with pytest.raises(ModelError, match=r"No such file or directory: expected a file with a model, .* -o FILE"):
        load_model(tmp_path / "none.json")


def test_prefix_is_no_file():
    with pytest.raises(ModelError, match=r"^P:Calib:: this is a PV prefix: expected a file .* -o FILE writes it$"):
        load_model(Path("P:Calib:"))
