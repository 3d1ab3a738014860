"""Atomic file replacement: at any time the file is either the old one or the complete new one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ponikeeper.errors import FileWriteError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically, also across a power cut.

    Parameters
    ----------
    path
        The file to write; a symbolic link is followed.
    data
        Its whole content.

    Raises
    ------
    FileWriteError
        The file cannot be written; the old one is unchanged.
    """
    if path.exists() and not path.is_file():
        raise FileWriteError(f"{path} is not a regular file: expected one, or - for stdout")
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise FileWriteError(f"{path}: {error.strerror}: expected a file that can be written") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` when the block ends without an error.

    For libraries that write to a path. The file is synced before it is renamed, and the folder after.

    Parameters
    ----------
    path
        The file to replace; a symbolic link is followed.

    Yields
    ------
    Path
        A path in the same folder with the same suffix; no file of this name exists.

    Raises
    ------
    OSError
        The file cannot be written; the old one is unchanged, and the temporary one is removed.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(path: Path) -> None:
    """Wait until the entries of a folder are on disk, such as a file that was created, renamed or deleted.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    OSError
        The disk does not accept them.
    """
    _sync(path)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on disk.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OSError
        The disk does not accept it.
    """
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
