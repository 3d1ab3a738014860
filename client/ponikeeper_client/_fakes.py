"""Fake signals: what `ophyd.sim.make_fake_device` puts in place of the signals of a `CalibrationData`."""

from typing import Any

from ophyd import Signal
from ophyd.sim import FakeEpicsSignal, FakeEpicsSignalRO, FakeEpicsSignalWithRBV, fake_device_cache
from ophyd.utils import DestroyedError

from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Request, Result, Snapshot, links_json, results_json
from ponikeeper.text import timestamps
from ponikeeper_client._guarded_signals import GuardedReadOnly, GuardedWritable
from ponikeeper_client._signals import AliveSignal, ParameterSignal, SetByTransaction, TextSignal
from ponikeeper_client._simulated_ioc import committed, default_snapshot
from ponikeeper_client._transactions import checked_text, identified


class FakeTextSignal(FakeEpicsSignalRO):
    """A text without an IOC; `sim_put` changes it."""

    def check_alive(self) -> None:
        """Raise `DestroyedError` if the signal was destroyed."""
        if self._destroyed:
            raise DestroyedError(f"{self.name} was destroyed: make a new device")

    def newest(self, deadline: float) -> str:
        """Return the text; `deadline` is ignored."""
        del deadline
        self.check_alive()
        return str(self.get())


class FakeParameterSignal(SetByTransaction, FakeEpicsSignalWithRBV):
    """One value of the geometry without an IOC; setting it, also with `sim_put`, is a commit."""

    def sim_put(self, value: Any, **_: Any) -> None:
        """Commit the value."""
        self.put(value)


fake_device_cache.update(
    {
        AliveSignal: FakeEpicsSignalRO,
        TextSignal: FakeTextSignal,
        ParameterSignal: FakeParameterSignal,
        GuardedReadOnly: FakeEpicsSignalRO,
        GuardedWritable: FakeEpicsSignal,
    }
)


class FakeIoc:
    """Stands for the IOC of a fake `CalibrationData`: the reader and the transactor of the device.

    The text of the fake signal `snapshot` is the whole state. A test changes it as it likes:
    ``calib.snapshot.sim_put(replace(calib.read_snapshot(), status="MOVED").as_json())``.

    Parameters
    ----------
    calib
        The fake device.
    """

    def __init__(self, calib: Any) -> None:
        self._calib = calib
        calib.results.sim_put(results_json([]))
        calib.links.sim_put(links_json([]))
        calib.snapshot.subscribe(self._show, run=False)
        calib.snapshot.sim_put(default_snapshot(calib.prefix).as_json())

    silence = 0.0

    def read(self, _proof: object = None) -> Snapshot:
        """Return all that is active."""
        return Snapshot.from_json(self._calib.snapshot.newest(0.0))

    def newest_or_none(self) -> Snapshot | None:
        """Return all that is active; None after the device was destroyed."""
        return self.read() if self._calib.snapshot.connected else None

    read_or_none = newest_or_none

    def wait_for_serial(self, serial: int, deadline: float) -> bool:
        """Return at once whether a serial is reached; `deadline` is ignored."""
        del deadline
        return self.read().serial >= serial

    def run(self, request: Request, timeout: float) -> Result:
        """Run a commit; raise `RefusedError` where an IOC would refuse its values. `timeout` is ignored."""
        del timeout
        request = identified(request)
        checked_text(request)
        after, result = committed(self.read(), request, timestamps.now())
        self._calib.snapshot.sim_put(after.as_json())
        self._calib.results.sim_put(results_json([result]))
        return result

    def _show(self, value: str, **_: Any) -> None:
        """Show a snapshot in the other signals, whose subscribers are called."""
        snapshot = Snapshot.from_json(value)
        self._calib.serial_pv.sim_put(snapshot.serial)
        self._calib.status_pv.sim_put(snapshot.status)
        if snapshot.geometry is not None:
            for name in NAMES:
                Signal.put(getattr(self._calib, name), getattr(snapshot.geometry, name), force=True)
