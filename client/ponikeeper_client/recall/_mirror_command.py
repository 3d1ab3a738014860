"""Copy the histories of the detectors of configurations into a mirror in Tiled: `ponikeeper mirror`."""

import os
import re
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ponikeeper.errors import ConfigError, NotConnectedError, PonikeeperError
from ponikeeper.system.terminal import print_text
from ponikeeper.text import timestamps
from ponikeeper_client._ioc_history import IocHistory, silent_iocs
from ponikeeper_client.recall._catalogs import open_catalog
from ponikeeper_client.recall._mirror_copy import Copied, continue_copy, copy_history, make_mirror

_TIMEOUT = 10.0
"""How long an IOC may take for each answer (s)."""

_WHOLE_AFTER = 86_400.0
"""How long after a whole copy, in which everything is verified, the next copy is whole again (s)."""


_PASSING = re.compile(r"correlation ID \w+|\b\d{6,}\b")
"""What differs each time in the messages of one problem: Tiled's number of a request, and that of a query."""


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
    if every is not None:  # the next copy is the next attempt; Tiled's client would print a line for its own
        os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")
    with open_catalog(catalog) as opened:
        copies = Copies(opened)
        while True:
            is_complete = copies.copy(prefixes, time.monotonic())
            if every is None:
                return is_complete
            time.sleep(every)
            prefixes = copies.read_again(configurations, prefixes)


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


class Copies:
    """Copies histories into the mirror of a catalog: whole at first and once a day, in between what is new.

    What is copied and what is wrong is printed; a copy without a new record, and a problem that stays, only once.

    Parameters
    ----------
    catalog
        The client of the catalog.
    """

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self._copied: dict[str, tuple[Copied, float]] = {}
        self._printed: dict[str, str] = {}

    def copy(self, prefixes: Sequence[str], now: float) -> bool:
        """Copy histories once.

        Parameters
        ----------
        prefixes
            PV prefixes of the detectors.
        now
            Time of a clock that is never set (s).

        Returns
        -------
        bool
            Whether every history was copied.
        """
        try:
            target = make_mirror(self._catalog)
        except Exception as error:  # noqa: BLE001  # the libraries of Tiled raise many kinds of errors
            return self._failed("catalog", error)
        self._printed.pop("catalog", None)
        silent = silent_iocs(prefixes, _TIMEOUT)
        for prefix in silent:
            self._failed(prefix, NotConnectedError(f"its IOC does not answer within {_TIMEOUT:g} s"))
        results = [self._copy(target, prefix, now) for prefix in prefixes if prefix not in silent]
        return all(results) and not silent

    def read_again(self, configurations: Sequence[Path], prefixes: Sequence[str]) -> list[str]:
        """Read the prefixes of the configurations again; where that fails, those of before stay, and it is reported."""
        try:
            read = [prefix for path in configurations for prefix in read_prefixes(path)]
        except ConfigError as error:
            self._failed("configuration", error)
            return list(prefixes)
        self._printed.pop("configuration", None)
        return read

    def _copy(self, target: Any, prefix: str, now: float) -> bool:
        """Copy one history; what is wrong with it must not keep the others from being copied."""
        try:
            copied = self._new_records(target, prefix, now) or self._whole_history(target, prefix, now)
        except Exception as error:  # noqa: BLE001  # as above
            self._copied.pop(prefix, None)
            return self._failed(prefix, error)
        text = "nothing was committed yet" if copied is None else f"{copied.total} records"
        if text != self._printed.get(prefix):
            added = "" if copied is None else f"{copied.added} new records, {copied.total} in all"
            print_text(f"{prefix}: {added or text}")
        self._printed[prefix] = text
        return True

    def _new_records(self, target: Any, prefix: str, now: float) -> Copied | None:
        """Copy what is new; None where the whole history is to be copied."""
        copied, verified = self._copied.get(prefix, (None, 0.0))
        if copied is None or now - verified >= _WHOLE_AFTER:
            return None
        records = IocHistory(prefix, _TIMEOUT).read_after(copied.counts)
        copied = continue_copy(target, copied, timestamps.from_datetime(timestamps.now()), records)
        if copied is not None:
            self._copied[prefix] = copied, verified
        return copied

    def _whole_history(self, target: Any, prefix: str, now: float) -> Copied | None:
        copied = copy_history(target, IocHistory(prefix, _TIMEOUT).read_all())
        if copied is not None:
            self._copied[prefix] = copied, now
        return copied

    def _failed(self, name: str, error: Exception) -> bool:
        text = f"{error}" if isinstance(error, PonikeeperError) else f"{type(error).__name__}: {error}"
        what = _PASSING.sub("", text)
        if what != self._printed.get(name):
            print_text(f"{name}: {' '.join(text.split())}", to_stderr=True)
        self._printed[name] = what
        return False
