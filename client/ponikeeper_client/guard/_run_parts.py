"""The second way to record a new geometry: the run ends, and a new one continues it.

bluesky reads the configuration of a device once in a run, and again when a ``configure`` message is sent, which may be
removed from it. A new run needs nothing but messages that every bluesky has, and works with streams of any devices.
"""

from collections.abc import Generator
from typing import Any, Literal

from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.bundlers import RunBundler
from bluesky.protocols import WritesExternalAssets
from bluesky.utils import Msg

from ponikeeper_client.documents import CALIBRATION_MD, CALIBRATION_MD_SOURCE, CONTINUES_KEY

RenewBy = Literal["configure", "new_run"]

_REASON = "the geometry changed: the next run continues this one"
_OF_THE_GEOMETRY = frozenset({CALIBRATION_MD, CALIBRATION_MD_SOURCE})
"""Metadata that holds for the geometry of one part only."""


def has_configure_message(engine: type = RunEngine, bundler: type = RunBundler) -> bool:
    """Return whether a bluesky describes streams again at a ``configure`` message.

    Parameters
    ----------
    engine, bundler
        Its classes.

    Returns
    -------
    bool
    """
    return hasattr(engine, "_configure") and hasattr(bundler, "configure")


def chosen_way(asked: RenewBy | None, *, has_configure: bool) -> RenewBy:
    """Choose how a new geometry is recorded.

    Parameters
    ----------
    asked
        By the user; None for what this bluesky can do.
    has_configure
        As `has_configure_message` returns it.

    Returns
    -------
    str
        ``"configure"`` or ``"new_run"``.

    Raises
    ------
    ValueError
        This bluesky does not have it, or it is unknown.
    """
    if asked not in (None, "configure", "new_run"):
        raise ValueError(f'renew_by={asked!r} is unknown: expected "configure" or "new_run"')
    if asked == "configure" and not has_configure:
        raise ValueError('renew_by="configure": this bluesky has no configure message; expected "new_run"')
    return asked or ("configure" if has_configure else "new_run")


class RunParts:
    """The messages with which a run is closed and continued.

    Parameters
    ----------
    opened
        The message that opened it.
    """

    def __init__(self, opened: Msg) -> None:
        self._opened = opened
        self._kept: list[Msg] = []

    def keep(self, msg: Msg) -> None:
        """Keep a message that each part needs: it declares a stream, or begins to monitor a device."""
        self._kept.append(msg)

    def forget_monitor(self, device: Any) -> None:
        """Forget that a device is monitored."""
        self._kept = [msg for msg in self._kept if not (msg.command == "monitor" and msg.obj is device)]

    @property
    def kept(self) -> list[Msg]:
        """The messages that follow the one that opens the next part."""
        return list(self._kept)

    @property
    def closing(self) -> Msg:
        """The message that closes the present part."""
        return Msg("close_run", None, exit_status="success", reason=_REASON, run=self._opened.run)

    def opening(self, uid: str) -> Msg:
        """Return the message that opens the next part.

        Parameters
        ----------
        uid
            Of the present part.

        Returns
        -------
        Msg
            With the metadata of the first part, and `uid`.
        """
        metadata = {key: value for key, value in self._opened.kwargs.items() if key not in _OF_THE_GEOMETRY}
        return self._opened._replace(kwargs={**metadata, CONTINUES_KEY: uid})


class StagedWriters:
    """The staged devices that write files: these belong to the run in which they were staged."""

    def __init__(self) -> None:
        self._staged: dict[Any, None] = {}  # in their order
        self._prepared: set[Any] = set()
        self._exposed: set[Any] = set()

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self._staged)

    def note(self, msg: Msg) -> None:
        """Note what a message does to the devices, before it is passed on."""
        if msg.command == "stage" and isinstance(msg.obj, WritesExternalAssets):
            self._staged[msg.obj] = None
        elif msg.command == "unstage":
            self._staged.pop(msg.obj, None)
            self._prepared.discard(msg.obj)
        elif msg.command == "prepare":
            self._prepared.add(msg.obj)
        elif msg.command == "save":
            self._exposed.clear()

    def expose(self, device: Any) -> None:
        """Note that a device begins an exposure."""
        if device in self._staged:
            self._exposed.add(device)

    def problem(self) -> str | None:
        """Format why they cannot be staged again now, without the loss of frames; None if they can."""
        if self._exposed:
            names = ", ".join(device.name for device in self._exposed)
            return f"{names} has exposed to files of the run that is open; take the run again"
        if prepared := self._prepared & self._staged.keys():
            names = ", ".join(device.name for device in prepared)
            return (
                f"{names} was prepared for the run that is open; take one run for each geometry, or use "
                'renew_by="configure"'
            )
        return None

    def restage(self) -> Generator[Msg, Any, None]:
        """Stage the devices again, so that what they write belongs to the next run."""
        for device in list(self._staged):
            yield from bps.unstage(device, wait=True)
            yield from bps.stage(device, wait=True)
