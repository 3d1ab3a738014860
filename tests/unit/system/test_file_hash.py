"""The SHA-256 of a file: of its bytes; a file that cannot be read is named."""

import hashlib
import os
import subprocess

import pytest

from ponikeeper.errors import GeometryFileError
from ponikeeper.system.file_hash import file_entry, sha256_of, sha256_of_files


@pytest.mark.parametrize("content", [b"", b"a spline\r\n", bytes(range(256)) * 5000])
def test_hash_is_that_of_the_bytes(tmp_path, content):
    file = tmp_path / "a"
    file.write_bytes(content)
    assert sha256_of(file) == hashlib.sha256(content).hexdigest()


def test_entry_has_the_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "~/a", tmp_path / "a"):
        assert file_entry(name) == {"path": str(tmp_path / "a"), "sha256": hashlib.sha256(b"a").hexdigest()}


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(GeometryFileError, match="cannot be read"):
        sha256_of(tmp_path / name)


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(GeometryFileError, match=f"{path} cannot be read: it is not a regular file: expected it"):
            sha256_of(path)


def test_hash_of_several_files_is_that_of_the_documented_command(tmp_path):
    files = [tmp_path / name for name in ("b", "a", "c")]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 100)
    command = f"sha256sum {' '.join(map(str, files))} | cut -c-64 | sha256sum"
    expected = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout[:64]
    assert sha256_of_files(files) == expected
    assert sha256_of_files(files[::-1]) != expected
    assert sha256_of_files(files[:1]) == sha256_of(files[0])
