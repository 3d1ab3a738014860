"""Read the current snapshot: the one from the monitor, verified by a fresh get."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ophyd.utils import DestroyedError

from ponikeeper.errors import NotConnectedError, PonikeeperError
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.heartbeat import PERIOD, hung_text
from ponikeeper_client._fresh_gets import DOUBLE, LONG, STRING, Proof, fresh_values, raise_silent
from ponikeeper_client._guarded_signals import GuardedSignal, wait_for
from ponikeeper_client._signals import AliveSignal, TextSignal

_AGREEMENT = 0.1
"""How long the status in the snapshot may lag behind the status PV before the status PV is used alone (s)."""

_LOOK = 0.02
"""Seconds between two gets while the IOC is not proven to be alive."""

_TOGETHER = 0.25
"""How long the answers of several IOCs are waited for before each is asked for itself (s)."""

_LATE = "the snapshot with the reason has not arrived yet"


class SnapshotReader:
    """Reads the snapshot of one detector; any thread may use it.

    A monitor alone would show a hung IOC as alive, and pyepics cuts or tears a get of the waveform
    when its length changes; so the text is that of the monitor, and a get verifies that it is current.
    A gateway answers a get from its cache, also for a hung IOC; so the time of the IOC must advance, too.

    Parameters
    ----------
    snapshot, serial, status, alive
        ``Snapshot_RBV``, ``Serial_RBV``, ``Status_RBV`` and ``Alive_RBV``.
    timeout
        How long the IOC may be silent (s).
    """

    def __init__(
        self, snapshot: TextSignal, serial: GuardedSignal, status: GuardedSignal, alive: AliveSignal, timeout: float
    ) -> None:
        self._monitor, self._alive, self._timeout = snapshot, alive, timeout
        self._serial_name = serial.pvname
        self._proof = ((serial, LONG), (status, STRING), (alive, DOUBLE))
        self._parsed: tuple[str, Snapshot] | None = None

    def read(self, proof: Proof | None = None) -> Snapshot:
        """Return all that is active now, with the status of the get.

        Parameters
        ----------
        proof
            As `prove_together` got it just now; None gets it.

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
            serial, status = self._proven(deadline, proof)
            proof = None
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

    def _proven(self, deadline: float, proof: Proof | None) -> tuple[int, str]:
        """Return serial and status as soon as it is proven that a live IOC says them.

        The wait for the next update of the time is at least long enough for it, whatever the timeout.
        """
        began, pause = time.monotonic(), 0.0
        patience = max(deadline, began + 2 * PERIOD)
        serial, status, alive = fresh_values(self._proof, deadline) if proof is None else proof
        while not self._alive.proves(alive):
            if time.monotonic() > patience:
                waited = time.monotonic() - began
                raise NotConnectedError(hung_text(self._alive.pvname, self._alive.newest, waited))
            time.sleep(pause)
            pause = _LOOK  # the first time at once: only a gateway gives the same time twice
            try:
                serial, status, alive = fresh_values(self._proof, patience)
            except NotConnectedError:  # a gateway passed the get on to a hung IOC
                raise_silent(self._serial_name, time.monotonic() - began)
        return serial, status

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

    @property
    def wanted(self) -> tuple[tuple[GuardedSignal, int], ...]:
        """The PVs of a `Proof`, each with its CA type."""
        return self._proof

    @property
    def silence(self) -> float:
        """For how long the IOC has given no sign of life (s): the newest value may be old; 0 where it has."""
        return self._alive.silence

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


def prove_together(readers: Sequence[SnapshotReader]) -> list[Proof | None]:
    """Get the proofs of several readers in one round trip.

    Parameters
    ----------
    readers
        Of any IOCs.

    Returns
    -------
    list of tuple or None
        All None where one does not answer at once: each is then to be read for itself, which raises its own error.
    """
    wanted = [pair for reader in readers for pair in reader.wanted]
    if len({signal.context for signal, _ in wanted}) != 1:
        return [None] * len(readers)
    try:
        values = fresh_values(wanted, time.monotonic() + _TOGETHER)
    except (PonikeeperError, DestroyedError):
        return [None] * len(readers)
    return [cast("Proof", tuple(values[place : place + 3])) for place in range(0, len(values), 3)]
