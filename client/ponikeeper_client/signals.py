"""The signals of `CalibrationData`: texts that are watched, values of a snapshot, puts that are transactions."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ophyd import EpicsSignalRO, EpicsSignalWithRBV
from ophyd.signal import SignalRO
from ophyd.status import Status

from ponikeeper.errors import NotConnectedError

if TYPE_CHECKING:
    from ponikeeper_client.device import CalibrationData

T = TypeVar("T")


class WatchedText(EpicsSignalRO):
    """A char waveform that is monitored: its newest text, and waiting for one that fits.

    A plain get of a waveform whose length changes can give a text of the wrong length; and what was
    heard before a disconnection says nothing of what is there after it.
    """

    def __init__(self, read_pv: str, **options: Any) -> None:
        self._heard = threading.Condition()
        self._text: str | None = None
        super().__init__(read_pv, string=True, auto_monitor=True, **options)
        self.subscribe(self._hear)
        self.subscribe(self._forget, event_type=self.SUB_META, run=False)

    @property
    def text(self) -> str | None:
        """The newest text; None before the first, and after a disconnection."""
        return self._text

    def wait_for(self, accept: Callable[[str], T | None], timeout: float) -> T:
        """Wait for a text in which a function finds something, and give that.

        Raises
        ------
        NotConnectedError
            None came within `timeout` (s).
        """
        deadline = time.monotonic() + timeout
        with self._heard:
            while True:
                found = None if self._text is None else accept(self._text)
                if found is not None:
                    return found
                if not self._heard.wait(deadline - time.monotonic()):
                    raise NotConnectedError(f"{self.pvname} did not tell what was waited for within {timeout:g} s")

    def _hear(self, value: Any = None, **_: Any) -> None:
        if isinstance(value, str):
            with self._heard:
                self._text = value
                self._heard.notify_all()

    def _forget(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            with self._heard:
                self._text = None


class SnapshotSignal(SignalRO):
    """One value of the snapshot; has no PV of its own."""

    parent: "CalibrationData"

    def get(self, **_: Any) -> Any:
        """Give the value as it is in force now; raises as ``read_configuration()`` does."""
        return self.parent.value(self.attr_name)


class ParameterSignal(EpicsSignalWithRBV):
    """One value of the geometry: read as any PV, set as a transaction with its verdict.

    Set through the put alone, ophyd would end in success with the old value: libca keeps the
    server's verdict to itself, and a tolerance taken from PREC takes a refused value for a reached one.
    """

    parent: "CalibrationData"

    def set(self, value: Any, *, timeout: Any = None, settle_time: Any = None) -> Status:  # noqa: ARG002
        """Change this one value; the status fails with the IOC's reasons."""
        return self.parent.set({self.attr_name: value})
