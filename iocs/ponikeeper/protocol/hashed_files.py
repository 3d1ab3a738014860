"""Add to a commit the SHA-256 of every file that its geometry names. The function that reads files is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from ponikeeper.geometry.files import MASK, entry_of, named_files
from ponikeeper.protocol.request import Commit
from ponikeeper.text import strictjson


def with_files(commit: Commit, read_entry: Callable[[str], dict[str, str]], mask: str | Path | None = None) -> Commit:
    """Return a commit with the absolute path and the SHA-256 of every file that its geometry names.

    Parameters
    ----------
    commit
        The commit; files that have their SHA-256 already stay as they are.
    read_entry
        Returns the absolute path and the SHA-256 of a file on this host: `ponikeeper.system.file_hash.file_entry`.
    mask
        An image or array whose nonzero pixels are masked.

    Returns
    -------
    Commit
        The same commit where it names no file.

    Raises
    ------
    GeometryFileError
        `read_entry` cannot read a file.
    """
    files = dict(commit.files)
    if mask is not None:
        files[MASK] = read_entry(str(mask))
    geometry = dict(commit.geometry)
    config = geometry.get("detector_config")
    if isinstance(config, Mapping):
        plain = strictjson.plain(cast("Mapping[str, object]", config))
        named = named_files(cast("Mapping[str, object]", plain))
        lacking = {key: path for key, path in named.items() if entry_of(files, key, tuple(named)) is None}
        added = {key: read_entry(path) for key, path in lacking.items() if isinstance(path, str) and path}
        files |= added
        geometry["detector_config"] = _with_paths(plain, {key: entry["path"] for key, entry in added.items()})
    return replace(commit, geometry=geometry, files=files) if files else commit


def _with_paths(value: object, paths: Mapping[str, str], key: str = "") -> object:
    """Return a configuration with other paths, by the dotted keys of `named_files`."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {name: _with_paths(item, paths, f"{key}.{name}" if key else name) for name, item in items}
    if isinstance(value, list):
        items = enumerate(cast("list[object]", value))
        return [_with_paths(item, paths, f"{key}.{number}") for number, item in items]
    return paths.get(key, value)
