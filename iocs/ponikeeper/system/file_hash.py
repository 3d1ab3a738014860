"""The SHA-256 of a file."""

import hashlib
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
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GeometryFileError(
            f"the file {path} cannot be read: {reason}; the geometry is not known without it, expected it on this host"
        ) from error
