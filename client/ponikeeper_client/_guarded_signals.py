"""Signals of ophyd that may be destroyed while any thread uses them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ophyd
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.signal import EpicsSignalBase
from ophyd.utils import DestroyedError

from ponikeeper.errors import ControlLayerError

POLL = 0.0005
"""How long a thread sleeps before it checks a condition again (s)."""

_making_and_releasing = threading.RLock()
"""ophyd counts who shares a PV without a lock: a PV could be released while another signal takes it."""


def wait_for(condition: Callable[[], object], deadline: float) -> bool:
    """Wait until a condition is true, at most until a time of the monotonic clock (s); return whether it is."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


class GuardedSignal(EpicsSignalBase):
    """A signal whose use after `destroy` raises `DestroyedError`.

    The PV of a destroyed signal has no channel, and libca does not survive a channel that was cleared. So
    every use of the PV is counted, in any thread, and a PV that is in use is released by its last user.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        layer = ophyd.get_cl().name
        if layer != "pyepics":
            raise ControlLayerError(layer)
        self._uses, self._uses_lock, self._released = 0, threading.Lock(), False
        with _making_and_releasing:
            super().__init__(*args, **kwargs)

    @contextmanager
    def in_use(self) -> Iterator[Any]:
        """Return a context in which the PV is not released.

        Yields
        ------
        epics.PV
            The readback PV.

        Raises
        ------
        DestroyedError
            The signal was destroyed, before or meanwhile.
        """
        with self._uses_lock:
            self.check_alive()
            self._uses += 1
        try:
            yield self._read_pv
        except Exception as error:
            if self._destroyed and not isinstance(error, DestroyedError):
                raise self._destroyed_error() from error
            raise
        finally:
            with self._uses_lock:
                self._uses -= 1
            self._release_if_unused()

    @property
    def context(self) -> Any:
        """The CA context of its PV: what is got in one flush has the same."""
        return getattr(self._read_pv, "context", None)

    def check_alive(self) -> None:
        """Raise `DestroyedError` if the signal was destroyed."""
        if self._destroyed:
            raise self._destroyed_error()

    def wait_for(self, condition: Callable[[], object], deadline: float) -> bool:
        """Wait as `wait_for` does; raise `DestroyedError` as soon as the signal is destroyed."""

        def is_met() -> object:
            self.check_alive()
            return condition()

        return wait_for(is_met, deadline)

    def destroy(self) -> None:
        """Disconnect; a thread that uses the PV now ends with `DestroyedError`, or with the value that it read."""
        with self._uses_lock:
            self._destroyed = True
        self.unsubscribe_all()
        self._release_if_unused()

    def get(self, **kwargs: Any) -> Any:
        """Read the value as `ophyd.EpicsSignal.get` does."""
        with self.in_use():
            return super().get(**kwargs)

    def read(self) -> dict[str, Any]:
        """Read value and timestamp as `ophyd.EpicsSignal.read` does."""
        with self.in_use():
            return super().read()

    def describe(self) -> dict[str, Any]:
        """Return the data key as `ophyd.EpicsSignal.describe` does."""
        with self.in_use():
            return super().describe()

    def subscribe(self, callback: Callable[..., Any], event_type: str | None = None, run: bool = True) -> int:
        """Call a function at each change, as `ophyd.EpicsSignal.subscribe` does."""
        with self.in_use():
            return super().subscribe(callback, event_type=event_type, run=run)

    def wait_for_connection(self, *args: Any, **kwargs: Any) -> None:
        """Wait until the signal is connected, as `ophyd.EpicsSignal.wait_for_connection` does."""
        with self.in_use():
            super().wait_for_connection(*args, **kwargs)

    def _release_if_unused(self) -> None:
        with self._uses_lock:
            if self._released or self._uses or not self._destroyed:
                return
            self._released = True
        with _making_and_releasing:
            super().destroy()

    def _destroyed_error(self) -> DestroyedError:
        return DestroyedError(f"{self.name} was destroyed: make a new device for {self.pvname}")

    def _pv_connected(self, pvname: str, conn: bool, pv: Any) -> None:
        with suppress(DestroyedError), self.in_use():
            super()._pv_connected(pvname, conn, _PvOfSignal(pv, self))

    def read_metadata(self, pv: Any, callback: Callable[..., Any], timeout: float) -> None:
        """Read units, limits and states of a PV; nothing happens where the signal was destroyed."""
        with suppress(DestroyedError), self.in_use():
            callback(pv.pvname, pv.get_all_metadata_blocking(timeout=timeout))


class _PvOfSignal:
    """A PV whose metadata are read in another thread as a use of the signal that asked for them."""

    def __init__(self, pv: Any, signal: GuardedSignal) -> None:
        self._pv, self._signal = pv, signal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pv, name)

    def get_all_metadata_callback(self, callback: Callable[..., Any], *, timeout: float) -> None:
        """Read the metadata in a thread of ophyd."""
        dispatcher: Any = self._signal.cl.get_dispatcher()
        dispatcher.schedule_utility_task(self._signal.read_metadata, self._pv, callback, timeout)


class GuardedReadOnly(GuardedSignal, EpicsSignalRO):
    """A guarded signal that is only read."""


class GuardedWritable(GuardedSignal, EpicsSignal):
    """A guarded signal that is also set."""

    def get_setpoint(self, **kwargs: Any) -> Any:
        """Read the setpoint as `ophyd.EpicsSignal.get_setpoint` does."""
        with self.in_use():
            return super().get_setpoint(**kwargs)

    def put(self, *args: Any, **kwargs: Any) -> None:
        """Write the value as `ophyd.EpicsSignal.put` does."""
        with self.in_use():
            super().put(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        """Write the value as `ophyd.EpicsSignal.set` does."""
        with self.in_use():
            return super().set(*args, **kwargs)
