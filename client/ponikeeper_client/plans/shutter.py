"""A shutter as a plan needs it: open, closed, and closed again whatever happens."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg


@dataclass(frozen=True, slots=True)
class Shutter:
    """Something that is set to be open, and set to be closed.

    Parameters
    ----------
    device
        Any settable ophyd object.
    open, closed
        What it is set to.
    """

    device: Any
    open: Any
    closed: Any

    def opened(self) -> Iterator[Msg]:
        """Open it, and wait until it is."""
        return bps.mv(self.device, self.open)

    def shut(self) -> Iterator[Msg]:
        """Close it, and wait until it is."""
        return bps.mv(self.device, self.closed)
