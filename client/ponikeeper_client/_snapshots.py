"""The snapshot that is in force now: the one that the monitor brought, proved current by a fresh get."""

import time
from dataclasses import replace

from ophyd import EpicsSignalRO

from ponikeeper.errors import NotConnectedError, PonikeeperError
from ponikeeper.protocol import Snapshot
from ponikeeper_client._fresh_gets import LONG, STRING, fresh_values, wait_for
from ponikeeper_client._signals import TextSignal

_AGREEMENT = 0.1
"""How long the snapshot's status may lag behind the status PV before the latter is believed alone (s)."""


class SnapshotReader:
    """Reads the snapshot of one detector; any thread may ask it.

    A monitor alone would show a hung IOC as alive, a get of the waveform alone is cut or torn by
    pyepics where its length changes; so the text is the monitor's and a get proves that it holds.

    Parameters
    ----------
    snapshot, serial, status
        ``Snapshot_RBV``, ``Serial_RBV`` and ``Status_RBV``.
    timeout
        How long the IOC may be silent (s).
    """

    def __init__(self, snapshot: TextSignal, serial: EpicsSignalRO, status: EpicsSignalRO, timeout: float) -> None:
        self._monitor, self._timeout = snapshot, timeout
        self._serial_name = serial.pvname
        self._proof = ((serial._read_pv, LONG), (status._read_pv, STRING))
        self._parsed: tuple[str, Snapshot] | None = None

    def read(self) -> Snapshot:
        """Give all that is in force now, with the status of the get.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        deadline = time.monotonic() + self._timeout
        agreed_by = None
        while True:
            serial, status = fresh_values(self._proof, deadline)
            snapshot = self.newest(deadline)
            if snapshot.serial == serial:  # else an activation is on its way, between the two
                now = time.monotonic()
                agreed_by = agreed_by or min(now + _AGREEMENT, deadline)
                if snapshot.status == status or now >= agreed_by:
                    return replace(snapshot, status=status)
            if time.monotonic() > deadline:
                raise NotConnectedError(
                    f"{self._monitor.pvname} stays at serial {snapshot.serial} while {self._serial_name} says "
                    f"{serial}, for {self._timeout:g} s: is there a gateway between that drops monitors?"
                )

    def wait_for_serial(self, serial: int, deadline: float) -> bool:
        """Wait until the monitor has brought a serial, at most until an instant of the monotonic clock (s)."""
        return wait_for(lambda: self.newest(deadline).serial >= serial, deadline)

    def newest(self, deadline: float) -> Snapshot:
        """Give what the monitor brought last; raises `NotConnectedError` where that is nothing yet."""
        text = self._monitor.newest(deadline)
        parsed = self._parsed
        if parsed is None or parsed[0] != text:
            parsed = self._parsed = (text, Snapshot.from_json(text))
        return parsed[1]

    def heard(self) -> Snapshot | None:
        """Give what the monitor brought last, at once; None where it is not connected."""
        try:
            return self.newest(time.monotonic()) if self._monitor.connected else None
        except PonikeeperError:
            return None
