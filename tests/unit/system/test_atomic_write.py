"""Atomic file replacement: the old file or the complete new one, and no temporary files remain."""

import os
import threading
from pathlib import Path

import pytest

from ponikeeper.errors import FileWriteError
from ponikeeper.system.atomic_write import atomic_path, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "some.txt"
    for data in (b"old", b"new and longer", b""):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["some.txt"]


def test_new_file_has_the_permissions_that_the_umask_allows(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "atomic"
    plain.write_bytes(b"")
    write_atomic(path, b"")
    assert path.stat().st_mode == plain.stat().st_mode


def test_symbolic_link_stays_a_link(tmp_path):
    path, link = tmp_path / "real.txt", tmp_path / "link.txt"
    path.write_bytes(b"old")
    link.symlink_to(path)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_temporary_path_has_the_suffix_and_the_folder_of_the_file(tmp_path):
    path = tmp_path / "picture.png"
    with atomic_path(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".png")
        assert not temporary.exists()
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["picture.png"]


def test_error_in_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["some.txt"]


def test_block_that_writes_nothing_keeps_the_old_file(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_bytes() == b"old"


def test_file_and_folder_are_synced_in_this_order(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def record(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_atomic(tmp_path / "some.txt", b"new")
    assert len(synced) == 2
    assert synced[0].parent == tmp_path
    assert synced[1] == tmp_path


def test_folder_that_is_missing_is_reported(tmp_path):
    with pytest.raises(FileWriteError, match="No such file or directory: expected a file that can be written"):
        write_atomic(tmp_path / "missing" / "some.txt", b"new")


def test_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(FileWriteError, match="is not a regular file: expected one"):
        write_atomic(tmp_path, b"new")


def test_threads_that_write_the_same_file_do_not_mix(tmp_path):
    path = tmp_path / "some.txt"
    contents = [bytes([number]) * 10000 for number in range(8)]
    threads = [threading.Thread(target=write_atomic, args=(path, data)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["some.txt"]
