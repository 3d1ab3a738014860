"""Where the linked PVs stood while an image was taken."""

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import bluesky.plan_stubs as bps

from ponikeeper.errors import CalibrationError, PonikeeperError
from ponikeeper.messages import LinkState, is_within
from ponikeeper_client.device import CalibrationData

Links = tuple[LinkState, ...]

_PATIENCE = 30.0
"""Seconds for which a motion is waited for."""

_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """Where the links stood.

    Parameters
    ----------
    values
        By name, in the links' units; ``"unknown"`` where it cannot be told.
    why
        Why it is unknown.
    """

    values: dict[str, float] | Literal["unknown"]
    why: str = ""


def position_of(seen: Sequence[Links]) -> Position:
    """Tell where the links stood during an exposure. Pure.

    Parameters
    ----------
    seen
        Where they stood, as often as it was told: when it began, at each change, when it ended.

    Raises
    ------
    CalibrationError
        One of them moved: the image belongs to no position.
    """
    first = {link.name: link for link in seen[0]}
    moved = [problem for links in seen for link in links if (problem := _moved(first.get(link.name), link))]
    if moved:
        raise CalibrationError(dict.fromkeys(moved))
    doubts = dict.fromkeys(doubt for links in seen for link in links if (doubt := link.doubt))
    if doubts:
        return Position("unknown", "; ".join(doubts))
    return Position({link.name: link.value for link in seen[-1] if link.value is not None})


def _moved(first: LinkState | None, link: LinkState) -> str | None:
    if first is None or first.value is None or link.value is None or is_within(link, link.value, first.value):
        moves = f"{link.name} ({link.pv}) was in motion during the exposure: wait until it rests, and calibrate again"
        return moves if link.moving else None
    allowed = "any change counts" if link.tolerance is None else f"tolerance {link.tolerance:g}"
    return (
        f"{link.name} ({link.pv}) moved during the exposure, from {first.value:g} to {_number(link)} "
        f"({allowed}): the image belongs to no position; calibrate again"
    )


def _number(link: LinkState) -> str:
    return f"{link.value:g} {link.units}".rstrip()


def rested(calibs: Sequence[CalibrationData]) -> Generator[Any, Any, None]:
    """Wait until no link is in motion: what a plan has just moved has to settle first.

    Raises
    ------
    CalibrationError
        One moves still after 30 s.
    """
    deadline = time.monotonic() + _PATIENCE
    while moving := [link for calib in calibs for link in calib.read_links() if link.moving]:
        if time.monotonic() > deadline:
            link = moving[0]
            raise CalibrationError(
                f"{link.name} ({link.pv}) is in motion, after {_PATIENCE:g} s still: "
                "wait until it rests, and calibrate again"
            )
        yield from bps.sleep(_PAUSE)


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

    def position(self) -> Position:
        """Tell where the links stood; raises as `position_of`."""
        with self._lock:
            return position_of(self._seen)

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
