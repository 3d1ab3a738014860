"""Detect motion of the linked PVs of a detector: now, and during a time such as an exposure."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Self

from ponikeeper.errors import PonikeeperError
from ponikeeper.protocol import LinkState, Status, is_within
from ponikeeper_client._fresh_gets import Proof
from ponikeeper_client.device import CalibrationData

Links = tuple[LinkState, ...]


def moves(seen: Sequence[Links]) -> dict[str, str]:
    """Return which links moved, by name, each with a message. Pure.

    Parameters
    ----------
    seen
        The link states when the time began, at each change, and when it ended.

    Returns
    -------
    dict of str to str
        Message by link name.
    """
    first = {link.name: link for link in seen[0]}
    messages: dict[str, str] = {}
    for links in seen:
        for link in links:
            message = _motion_message(first.get(link.name), link)
            if message is not None:
                messages.setdefault(link.name, message)
    return messages


def _motion_message(first: LinkState | None, link: LinkState) -> str | None:
    if first is None or first.value is None or link.value is None or is_within(link, link.value, first.value):
        return f"{link.name} ({link.pv}) was moving during the exposure" if link.moving else None
    allowed = "any change counts" if link.tolerance is None else f"tolerance {link.tolerance:g}"
    value = f"{link.value:g} {link.units}".rstrip()
    return f"{link.name} ({link.pv}) moved during the exposure, from {first.value:g} to {value} ({allowed})"


def is_unsettled(calib: CalibrationData, moving: Collection[str] = (), proof: Proof | None = None) -> bool:
    """Return whether a linked PV moves or settles, so that the status may soon be another one.

    Parameters
    ----------
    calib
        The calibration.
    moving
        Names of the links that do not count.
    proof
        What `proofs` got for the calibration just now; None asks the IOC.

    Returns
    -------
    bool
        Whether to wait before the geometry is used.

    Raises
    ------
    NotConnectedError
        The IOC does not answer.
    """
    if not moving and calib.recorded_snapshot(proof).status == Status.MOVING.name:
        return True
    return any(link.name not in moving and _settles(link) for link in calib.read_links())


def _settles(link: LinkState) -> bool:
    """Return whether a link moves, or is back within its tolerance, but not for long enough yet."""
    if link.moving:
        return True
    if link.within is not False or link.value is None or link.calibrated is None:
        return False
    return is_within(link, link.value, link.calibrated)


class LinkWatch:
    """Records the link states of one calibration from `start` to `stop`; also a context manager."""

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
        """Start recording; raise `NotConnectedError` if the IOC does not answer."""
        self._record(self._calib.read_links())
        self._token = self._calib.links.subscribe(self._changed, run=False)

    def stop(self) -> None:
        """Stop recording; the recorded states remain available."""
        if self._token is None:
            return
        self._calib.links.unsubscribe(self._token)
        self._token = None
        self._changed()

    @property
    def seen(self) -> Sequence[Links]:
        """The link states at the start, at each change, and at the end."""
        with self._lock:
            return tuple(self._seen)

    def _changed(self, **_: Any) -> None:
        try:
            self._record(self._calib.read_links())
        except PonikeeperError:  # the IOC is gone: from here on nothing is known of the links
            with self._lock:
                self._seen.append(tuple(_gone(link) for link in self._seen[-1]))

    def _record(self, links: Links) -> None:
        with self._lock:
            self._seen.append(links)


def _gone(link: LinkState) -> LinkState:
    return replace(link, connected=False, value=None, moving=None)
