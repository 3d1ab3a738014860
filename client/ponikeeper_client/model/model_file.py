"""The file of a model: its JSON object."""

from collections.abc import Mapping
from pathlib import Path

from ponikeeper.errors import ModelError
from ponikeeper.geometry.kinematics import Model
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.text import strictjson

_EXPECTED = "expected a file with a model, as ponikeeper model fit PREFIX ... -o FILE writes it"


def load_model(path: Path) -> Model:
    """Read a model from a JSON file.

    Parameters
    ----------
    path
        Of a file that ponikeeper model fit wrote.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file cannot be read, or is no model; each problem names it.
    """
    try:
        values = strictjson.loads(path.read_text(encoding="ascii"))
    except OSError as error:
        what = "this is a PV prefix" if str(path).endswith(":") else error.strerror
        raise ModelError(f"{path}: {what}: {_EXPECTED}") from error
    except ValueError as error:
        raise ModelError(f"{path}: this is not JSON: {error}") from None
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: this is not a JSON object: expected a model")
    try:
        return Model.parse(values)
    except ModelError as error:
        raise ModelError(f"{path}: {problem}" for problem in error.problems) from None


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write a model, or another JSON object, to a file; raises `FileWriteError` if it cannot be written."""
    write_atomic(path, (strictjson.dumps(dict(values)) + "\n").encode("ascii"))
