"""Run any plan with a shutter, which is opened before the first exposure and always closed; take dark frames."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ponikeeper.errors import MissingDarkframesError
from ponikeeper_client.device import calibrations
from ponikeeper_client.plans import Shutter

Plan = Generator[Msg, Any, Any]

_EXPOSE = ("trigger", "kickoff", "create")
"""The messages that start an exposure; the last one if there is nothing to trigger."""


@dataclass(frozen=True, slots=True)
class RememberedShutter(Shutter):
    """A shutter that remembers its last command: not every shutter reads back the value it was set to."""

    _left_open: Event = field(default_factory=Event, init=False, repr=False, compare=False)

    def opened(self) -> Iterator[Msg]:
        """Open it, and wait until it is open."""
        yield from Shutter.opened(self)
        self._left_open.set()

    def shut(self) -> Iterator[Msg]:
        """Close it, and wait until it is closed."""
        yield from Shutter.shut(self)
        self._left_open.clear()

    def is_open(self) -> Generator[Msg, Any, bool]:
        """Return whether it reads open; if it reads neither value, whether the last command was to open."""
        reading: Any = yield from bps.read(self.device)
        values = [one["value"] for one in reading.values()]
        says_open, says_closed = self.open in values, self.closed in values
        return self._left_open.is_set() if says_open == says_closed else says_open


def with_shutter(plan: Any, shutter: Shutter) -> Plan:
    """Run a plan with a shutter.

    Parameters
    ----------
    plan
        Any plan.
    shutter
        Opened before the first exposure of the plan, and closed when the plan has ended, failed or
        was aborted.
    """
    opened = False

    def opening(msg: Msg) -> tuple[Plan | None, None]:
        nonlocal opened
        if opened or msg.command not in _EXPOSE:
            return None, None
        opened = True
        return _opened_before(msg, shutter), None

    return bpp.finalize_wrapper(bpp.plan_mutator(plan, opening), shutter.shut)


def _opened_before(msg: Msg, shutter: Shutter) -> Plan:
    yield from shutter.opened()
    return (yield msg)


if TYPE_CHECKING:
    from bluesky_darkframes import SnapshotDevice


def require_darkframes() -> Any:
    """Import the module `bluesky_darkframes`.

    Raises
    ------
    MissingDarkframesError
        It is not installed.
    """
    try:
        import bluesky_darkframes
    except ImportError as error:
        raise MissingDarkframesError from error
    return bluesky_darkframes


def dark_plan(detector: Any, shutter: RememberedShutter) -> Generator[Msg, Any, "SnapshotDevice"]:
    """Record a dark frame; as `XrayBasicPlans.dark_plan`."""
    darkframes = require_darkframes()
    group = darkframes.GROUP_PREFIX  # marks the trigger as that of a dark frame
    yield from bps.unstage_all(detector)
    yield from bps.stage_all(detector)
    was_open = yield from shutter.is_open()
    yield from shutter.shut()
    yield from bps.trigger(detector, group=group)
    yield from bps.wait(group)
    with ExitStack() as silenced:  # a dark frame has no geometry that could be wrong
        for calib in calibrations(detector):
            silenced.enter_context(calib.status_warnings.silenced())
        snapshot = darkframes.SnapshotDevice(detector)
    yield from bps.unstage_all(detector)
    yield from bps.stage_all(detector)
    if was_open:
        yield from shutter.opened()
    return snapshot
