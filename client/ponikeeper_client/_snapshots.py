"""Read the current snapshot: the one from the monitor, verified by a fresh get."""

import time
from dataclasses import replace

from ophyd.utils import DestroyedError

from ponikeeper.errors import NotConnectedError, PonikeeperError
from ponikeeper.protocol import Snapshot
from ponikeeper_client._fresh_gets import LONG, STRING, fresh_values
from ponikeeper_client._guarded_signals import GuardedSignal, wait_for
from ponikeeper_client._signals import TextSignal

_AGREEMENT = 0.1
"""How long the status in the snapshot may lag behind the status PV before the status PV is used alone (s)."""

_LATE = "the snapshot with the reason has not arrived yet"


class SnapshotReader:
    """Reads the snapshot of one detector; any thread may use it.

    A monitor alone would show a hung IOC as alive, and pyepics cuts or tears a get of the waveform
    when its length changes; so the text is that of the monitor, and a get verifies that it is current.

    Parameters
    ----------
    snapshot, serial, status
        ``Snapshot_RBV``, ``Serial_RBV`` and ``Status_RBV``.
    timeout
        How long the IOC may be silent (s).
    """

    def __init__(self, snapshot: TextSignal, serial: GuardedSignal, status: GuardedSignal, timeout: float) -> None:
        self._monitor, self._timeout = snapshot, timeout
        self._serial_name = serial.pvname
        self._proof = ((serial, LONG), (status, STRING))
        self._parsed: tuple[str, Snapshot] | None = None

    def read(self) -> Snapshot:
        """Return all that is active now, with the status of the get.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        DestroyedError
            The device was destroyed.
        """
        deadline = time.monotonic() + self._timeout
        agreed_by = None
        while True:
            serial, status = fresh_values(self._proof, deadline)
            snapshot = self.newest(deadline)
            if snapshot.serial == serial:  # otherwise an activation happened between the two
                now = time.monotonic()
                agreed_by = agreed_by or min(now + _AGREEMENT, deadline)
                if snapshot.status == status:
                    return snapshot
                if now >= agreed_by:
                    return replace(snapshot, status=status, reason=_LATE, findings=(), link_states=None)
            if time.monotonic() > deadline:
                raise NotConnectedError(
                    f"{self._monitor.pvname} stays at serial {snapshot.serial} while {self._serial_name} says "
                    f"{serial}, for {self._timeout:g} s: does a gateway in between drop monitors?"
                )

    def wait_for_serial(self, serial: int, deadline: float) -> bool:
        """Wait until the monitor has delivered a serial, at most until a time of the monotonic clock (s)."""
        return wait_for(lambda: self.newest(deadline).serial >= serial, deadline)

    def newest(self, deadline: float) -> Snapshot:
        """Return the newest value of the monitor; raise `NotConnectedError` if there is none yet."""
        text = self._monitor.newest(deadline)
        parsed = self._parsed
        if parsed is None or parsed[0] != text:
            parsed = self._parsed = (text, Snapshot.from_json(text))
        return parsed[1]

    def newest_or_none(self) -> Snapshot | None:
        """Return the newest value of the monitor at once; None if it is not connected."""
        try:
            return self.newest(time.monotonic()) if self._monitor.connected else None
        except (PonikeeperError, DestroyedError):
            return None

    def read_or_none(self) -> Snapshot | None:
        """Return what `read` returns; None if the IOC is not connected or does not answer."""
        try:
            return self.read() if self._monitor.connected else None
        except (PonikeeperError, DestroyedError):
            return None
