"""Files that are there whole, or as they were before."""

import os
from pathlib import Path

from ponikeeper.errors import ConfigError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at every instant, power cuts too, there is the old one or the whole new one.

    Raises
    ------
    ConfigError
        It cannot be written; then it is as it was.
    """
    try:
        _write(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: expected a file that can be written") from error


def _write(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: expected one, or - for stdout")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
