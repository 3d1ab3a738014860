"""Catalogs by their name, and the runs in them: Tiled by address or profile, databroker by name."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ponikeeper.errors import ConfigError, MissingExtraError, NotConnectedError

_DEPTH = 3
"""How many folders down runs are looked for."""


@contextlib.contextmanager
def open_catalog(name: str) -> Iterator[Any]:
    """Open a catalog as long as the block lasts.

    Parameters
    ----------
    name
        The address of a Tiled server or of a folder in it (``http://...``; the key in it, or in
        ``TILED_API_KEY``), a Tiled profile, or the name of a catalog of databroker.

    Raises
    ------
    ConfigError
        There is none of that name.
    NotConnectedError
        The server does not answer, or does not let us in.
    MissingExtraError
        Tiled is not installed.
    """
    try:
        from bluesky_tiled_plugins.clients import bluesky_run  # noqa: F401  # runs are read by its clients
        from tiled.client import from_profile, from_uri
        from tiled.profiles import list_profiles
    except ModuleNotFoundError as error:
        raise MissingExtraError("catalog", error.name or "tiled") from error
    profiles = list_profiles()
    if "://" not in name and name not in profiles:
        yield _of_databroker(name, profiles)
        return
    try:
        client = from_uri(name) if "://" in name else from_profile(name)
    except Exception as error:  # noqa: BLE001  # whatever its libraries raise on the way
        shown = name.partition("?")[0]  # the key stays unsaid
        told = f"{type(error).__name__}: {error}".replace(name, shown)
        raise NotConnectedError(f"the catalog {shown} cannot be opened: {told}") from None
    try:
        yield client
    finally:
        client.context.close()


def each_run(catalog: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """Give each run of a catalog, and of the folders in it, one by one; no data is loaded."""
    for node in catalog.values():
        if "start" in (getattr(node, "metadata", None) or {}):
            yield node
        elif depth > 0 and getattr(node, "structure_family", None) == "container":
            yield from each_run(node, depth - 1)


def _of_databroker(name: str, profiles: Any) -> Any:
    """Open a catalog of databroker 1; those of version 2 are Tiled's profiles."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        import databroker

        return databroker.catalog[name]  # pyright: ignore[reportAttributeAccessIssue]  # version 1 has it
    known = ", ".join(profiles) or "none"
    address = f"http://{name}" if {":", "/", "."} & set(name) else "http://..."
    raise ConfigError(
        f"there is no catalog {name or 'without a name'}: expected the address of a Tiled server ({address}), a "
        f"profile (there are {known}), or a catalog of databroker"
    )
