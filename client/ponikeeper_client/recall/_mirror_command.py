"""Copy the histories of the detectors of configurations into a mirror in Tiled: `ponikeeper mirror`."""

import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from ponikeeper.errors import ConfigError, PonikeeperError
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client._ioc_history import IocHistory
from ponikeeper_client.recall._catalogs import open_catalog
from ponikeeper_client.recall._mirror import copy_history, make_mirror

_TIMEOUT = 10.0
"""How long an IOC may take for each answer (s)."""


def mirror(configurations: Sequence[Path], catalog: str, every: float | None) -> bool:
    """Copy the history of each detector of some IOCs into a mirror.

    Parameters
    ----------
    configurations
        Of the IOCs. Only the prefixes are read; the histories are read from the IOCs.
    catalog
        Address of the catalog in Tiled.
    every
        Time between two copies (s); None copies once.

    Returns
    -------
    bool
        Whether every history was copied.

    Raises
    ------
    ConfigError
        A configuration cannot be read.
    NotConnectedError
        The catalog does not answer.
    """
    prefixes = [prefix for path in configurations for prefix in read_prefixes(path)]
    with open_catalog(catalog) as opened:
        target = make_mirror(opened)
        while True:
            results = [_copy(target, prefix) for prefix in prefixes]
            if every is None:
                return all(results)
            time.sleep(every)


def read_prefixes(path: Path) -> Iterator[str]:
    """Yield the PV prefix of each detector of a configuration.

    Raises
    ------
    ConfigError
        The file cannot be read, or has no detector.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        prefixes = [str(detector["prefix"]) for detector in values["detector"]]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: expected the configuration of an IOC") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: {error}: expected the configuration of an IOC, ponikeeper check {path}") from None
    yield from prefixes


def _copy(target: object, prefix: str) -> bool:
    """Copy one history; what is wrong with it must not keep the others from being copied."""
    try:
        copied = copy_history(target, IocHistory(prefix, _TIMEOUT).read_all())
    except Exception as error:  # noqa: BLE001  # the catalog, too, may not answer for a while
        what = f"{error}" if isinstance(error, PonikeeperError) else f"{type(error).__name__}: {error}"
        typer.echo(to_ascii(f"{prefix}: {what}"), err=True)
        return False
    done = "nothing was committed yet" if copied is None else f"{copied.added} new records, {copied.total} in all"
    typer.echo(f"{prefix}: {done}")
    return True
