"""The SHA-256 of a file: of its bytes; a file that cannot be read is named."""

import hashlib

import pytest

from ponikeeper.errors import GeometryFileError
from ponikeeper.system.file_hash import file_entry, sha256_of


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
