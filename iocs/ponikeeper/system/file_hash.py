"""The SHA-256 of a file, and one for several files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ponikeeper.errors import GeometryFileError


def file_entry(path: str | Path) -> dict[str, str]:
    """Read what a commit has of a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Its absolute path and the SHA-256 of its content: ``path`` and ``sha256``.

    Raises
    ------
    GeometryFileError
        The file cannot be read.
    """
    absolute = Path(path).expanduser().absolute()
    return {"path": str(absolute), "sha256": sha256_of(absolute)}


def sha256_of(path: str | Path) -> str:
    """Compute the SHA-256 of the content of a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    GeometryFileError
        The file cannot be read.
    """
    try:
        with _regular(Path(path)).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GeometryFileError(f"the file {path} cannot be read: {reason}: expected it on this host") from error


def _regular(path: Path) -> Path:
    """Return a path, unless it is that of a pipe, a device or a folder: a pipe would be waited for."""
    if path.exists() and not path.is_file():
        raise OSError(None, "it is not a regular file")
    return path


def sha256_of_files(paths: Sequence[str | Path]) -> str:
    """Compute one SHA-256 for several files.

    Parameters
    ----------
    paths
        At least one file; the order matters.

    Returns
    -------
    str
        64 hexadecimal digits: that of the file if there is one only, else that of the lines of hexadecimal digits, as
        ``sha256sum FILES | cut -c-64 | sha256sum`` prints it.

    Raises
    ------
    GeometryFileError
        A file cannot be read.
    """
    hashes = [sha256_of(path) for path in paths]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{each}\n" for each in hashes).encode("ascii")).hexdigest()
