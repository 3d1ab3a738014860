"""The runs of a catalog: those of a period, and those whose documents have a uid. No data is loaded."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ponikeeper.errors import ConfigError, MissingExtraError, NotConnectedError
from ponikeeper_client.recall._mirror import is_mirror

_DEPTH = 3
"""How many folders down runs are looked for."""

_TIMEOUT = 300.0
"""How long a catalog may take for one answer: a search of a million entries takes a minute (s)."""

_DAY = 86400.0
_LONGEST_RUN = 30 * _DAY
"""Runs of which the end must be known began at most this long before it (s)."""


@dataclass(frozen=True, slots=True)
class Period:
    """When the runs that are searched began and ended; times in s since 1970, None is no limit.

    Parameters
    ----------
    since, until
        A run began at `since` or later, and before `until`.
    created
        A run ended after this time; the clocks of the two hosts may differ by a day.
    """

    since: float | None = None
    until: float | None = None
    created: float | None = None

    @property
    def begin(self) -> float | None:
        """The earliest time at which a run of the period can have begun: what a catalog is asked for."""
        limits = [self.since, None if self.created is None else self.created - _LONGEST_RUN]
        return max((limit for limit in limits if limit is not None), default=None)

    def has(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether the run with this start and stop is in the period; one without a time is."""
        began = (metadata.get("start") or {}).get("time")
        ended = (metadata.get("stop") or {}).get("time")
        if not isinstance(began, (int, float)):
            return True
        if (self.begin is not None and began < self.begin) or (self.until is not None and began >= self.until):
            return False
        return self.created is None or ended is None or ended >= self.created - _DAY


EVER = Period()


@contextlib.contextmanager
def open_catalog(name: str) -> Iterator[Any]:
    """Open a catalog for the duration of a block.

    Parameters
    ----------
    name
        The address of a Tiled server or of a folder in it (``http://...``; the key in it, or in
        ``TILED_API_KEY``), a Tiled profile, or the name of a catalog of databroker.

    Yields
    ------
    Any
        The client of the catalog.

    Raises
    ------
    ConfigError
        There is no catalog of that name.
    NotConnectedError
        The server does not answer, or denies access.
    MissingExtraError
        Tiled is not installed.
    """
    try:
        from tiled.client import from_profile, from_uri
        from tiled.profiles import list_profiles
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tiled") from error
    profiles = list_profiles()
    if "://" not in name and name not in profiles:
        yield _from_databroker(name, profiles)
        return
    try:
        client = from_uri(name) if "://" in name else from_profile(name)
    except Exception as error:  # noqa: BLE001  # its libraries raise many kinds of errors here
        address = name.partition("?")[0]  # the message must not contain the key
        reason = str(error).strip().partition("\n")[0]  # Tiled's client adds how to log in in Python
        cause = f"{type(error).__name__}: {reason}".replace(name, address)
        raise NotConnectedError(
            f"the catalog {address} cannot be opened: {cause}: is Tiled running there, is its key in TILED_API_KEY?"
        ) from None
    client.context.http_client.timeout = _TIMEOUT
    try:
        yield client
    finally:
        client.context.close()


def each_run(catalog: Any, period: Period = EVER, depth: int = _DEPTH) -> Iterator[Any]:
    """Yield each run of a catalog, and of the folders in it, one by one.

    Parameters
    ----------
    catalog
        The client of the catalog.
    period
        Of the runs. The catalog is asked for them where it can compare times.
    depth
        How many folders down runs are looked for.

    Yields
    ------
    Any
        The client of each run, in the order of the catalog.
    """
    for node in _nodes_of(catalog, period):
        metadata = getattr(node, "metadata", None) or {}
        if "start" in metadata:
            if period.has(metadata):
                yield node
        elif depth > 0 and getattr(node, "structure_family", None) == "container" and not is_mirror(node):
            yield from each_run(node, period, depth - 1)


def count_runs(catalog: Any, period: Period = EVER) -> int | None:
    """Return about how many runs `each_run` yields; None where the catalog does not say that at once."""
    try:
        asked = _ask(catalog, period)
        return len(catalog) if asked is None else len(asked[0])
    except Exception:  # noqa: BLE001  # only a progress bar needs the number; what is wrong is met again by the search
        return None


def runs_with(catalog: Any, uid: str, period: Period = EVER) -> tuple[Iterator[Any], int] | None:
    """Ask a catalog for the runs whose documents have a uid.

    Parameters
    ----------
    catalog
        The client of the catalog.
    uid
        Of a revision.
    period
        Of the runs.

    Returns
    -------
    tuple or None
        The client of each run, in the order of the catalog; and how many there are in all periods. None where the
        catalog cannot search the documents below its runs: this needs the SQL catalog of Tiled, and a client and server
        that have ``search_deep``.
    """
    try:
        from tiled.client.utils import ClientError
        from tiled.queries import FullText
    except ImportError:
        return None
    try:
        paths = list(catalog.search_deep(FullText(f'"{uid}"')))  # as a phrase: a uid has hyphens
    except (AttributeError, NotImplementedError):  # the client is too old, or no client of Tiled
        return None
    except ClientError:  # the server is too old, or its catalog is not that of Tiled
        return None
    return _runs_of(catalog, paths, period), len({path[:-1] or path for path in paths})


def _runs_of(catalog: Any, paths: Iterable[tuple[str, ...]], period: Period) -> Iterator[Any]:
    """Yield the run of each path, which is that of a stream; some catalogs have a folder between the two."""
    runs: dict[tuple[str, ...], None] = {}
    for path in paths:
        for run in filter(None, (path[:-1], path[:-2], path)):
            if run in runs:
                break
            node = catalog[run]
            if "start" in node.metadata:
                runs[run] = None
                if period.has(node.metadata):
                    yield node
                break


def _nodes_of(catalog: Any, period: Period) -> Iterator[Any]:
    """Yield the runs of a period and the folders; all nodes where the catalog does not understand the question."""
    asked = _ask(catalog, period)
    for nodes in (catalog,) if asked is None else asked:
        yield from nodes.values()


def _ask(catalog: Any, period: Period) -> tuple[Any, Any] | None:
    """Return the runs of a period and all other nodes of a catalog; None where it does not understand the question."""
    if (period.begin, period.until) == (None, None) or not hasattr(catalog, "new_variation"):
        return None
    from tiled.client.utils import ClientError
    from tiled.queries import Key, SpecsQuery

    runs = catalog.search(SpecsQuery(["BlueskyRun"], []))
    if period.begin is not None:
        runs = runs.search(Key("start.time") >= period.begin)
    if period.until is not None:
        runs = runs.search(Key("start.time") < period.until)
    others = catalog.search(SpecsQuery([], ["BlueskyRun"]))
    try:
        _ = len(runs), len(others)
    except ClientError:
        return None
    return runs, others


def _from_databroker(name: str, profiles: Any) -> Any:
    """Open a catalog of databroker 1; those of version 2 are Tiled profiles."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        import databroker

        return databroker.catalog[name]  # pyright: ignore[reportAttributeAccessIssue]  # version 1 has it
    known = ", ".join(profiles) or "none"
    address = f"http://{name}" if {":", "/", "."} & set(name) else "http://..."
    raise ConfigError(
        f"there is no catalog {name or 'without a name'}: expected the address of a Tiled server ({address}), a "
        f"profile (there are {known}), or a catalog of databroker"
    )
