"""What the linked PVs of a detector did during a time, such as an exposure."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from ponikeeper.errors import PonikeeperError
from ponikeeper.protocol import LinkState, is_within
from ponikeeper_client.device import CalibrationData

Links = tuple[LinkState, ...]


def moves(seen: Sequence[Links]) -> dict[str, str]:
    """Tell which links moved, by name, each in words. Pure.

    Parameters
    ----------
    seen
        Where they stood, as often as it was told: when the time began, at each change, when it ended.
    """
    first = {link.name: link for link in seen[0]}
    found: dict[str, str] = {}
    for links in seen:
        for link in links:
            told = _moved(first.get(link.name), link)
            if told is not None:
                found.setdefault(link.name, told)
    return found


def _moved(first: LinkState | None, link: LinkState) -> str | None:
    if first is None or first.value is None or link.value is None or is_within(link, link.value, first.value):
        return f"{link.name} ({link.pv}) was in motion during the exposure" if link.moving else None
    allowed = "any change counts" if link.tolerance is None else f"tolerance {link.tolerance:g}"
    value = f"{link.value:g} {link.units}".rstrip()
    return f"{link.name} ({link.pv}) moved during the exposure, from {first.value:g} to {value} ({allowed})"


class LinkWatch:
    """Remembers where the links of one calibration stood, from `start` to `stop`; as a context too."""

    def __init__(self, calib: CalibrationData) -> None:
        self._calib, self._lock = calib, threading.Lock()
        self._seen: list[Links] = []
        self._token: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch; raises `NotConnectedError` where the IOC does not answer."""
        self._take(self._calib.read_links())
        self._token = self._calib.links.subscribe(self._changed, run=False)

    def stop(self) -> None:
        """Watch no longer; what was seen is kept."""
        if self._token is None:
            return
        self._calib.links.unsubscribe(self._token)
        self._token = None
        self._changed()

    @property
    def seen(self) -> Sequence[Links]:
        """Where the links stood, as often as it was told."""
        with self._lock:
            return tuple(self._seen)

    def _changed(self, **_: Any) -> None:
        try:
            self._take(self._calib.read_links())
        except PonikeeperError:  # the IOC is gone: nothing of the links is known from here on
            with self._lock:
                self._seen.append(tuple(_gone(link) for link in self._seen[-1]))

    def _take(self, links: Links) -> None:
        with self._lock:
            self._seen.append(links)


def _gone(link: LinkState) -> LinkState:
    return replace(link, connected=False, value=None, moving=None)
