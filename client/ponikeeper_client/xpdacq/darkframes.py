"""Dark frames as bluesky-darkframes records them, taken with a shutter."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from ponikeeper.errors import PonikeeperError
from ponikeeper_client.xpdacq.exposing import RememberedShutter

if TYPE_CHECKING:
    from bluesky_darkframes import SnapshotDevice


class MissingDarkframesError(PonikeeperError, ImportError):
    """bluesky-darkframes is not installed; the message is the line that installs it."""

    def __init__(self) -> None:
        super().__init__("dark frames need bluesky-darkframes, which is not installed: pip install bluesky-darkframes")


def require_darkframes() -> Any:
    """Give the module `bluesky_darkframes`.

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
    """Take a dark frame; as `XrayBasicPlans.dark_plan`."""
    darkframes = require_darkframes()
    group = darkframes.GROUP_PREFIX  # by it the trigger is known for that of a dark frame
    yield from bps.unstage_all(detector)
    yield from bps.stage_all(detector)
    was_open = yield from shutter.is_open()
    yield from shutter.shut()
    yield from bps.trigger(detector, group=group)
    yield from bps.wait(group)
    snapshot = darkframes.SnapshotDevice(detector)
    yield from bps.unstage_all(detector)
    yield from bps.stage_all(detector)
    if was_open:
        yield from shutter.opened()
    return snapshot
