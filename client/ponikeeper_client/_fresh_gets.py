"""Get fresh values with pyepics: several PVs in one flush, and no late reply is taken for a new one."""

import ctypes
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import ophyd  # noqa: F401  # before epics, which it sets up

from epics import ca, dbr

from ponikeeper.errors import NotConnectedError
from ponikeeper.protocol.pvs import is_prefix_right
from ponikeeper_client._guarded_signals import POLL, GuardedSignal

DOUBLE, LONG, STRING, CHAR = dbr.DOUBLE, dbr.LONG, dbr.STRING, dbr.CHAR
"""The CA types that can be requested: one value each, and of `CHAR` all that the PV can have."""

Proof = tuple[int, str, float]
"""Serial, status and time of an IOC, got from it just now."""


def fresh_values(wanted: Sequence[tuple[GuardedSignal, int]], deadline: float) -> list[Any]:
    """Get values from the server, all in one flush.

    Parameters
    ----------
    wanted
        Signals, each with the requested CA type: `DOUBLE`, `LONG`, `STRING` or `CHAR`.
    deadline
        Until when to wait (s of the monotonic clock).

    Returns
    -------
    list of float, int, str or bytes
        One for each PV.

    Raises
    ------
    NotConnectedError
        The message names the first PV that did not answer.
    DestroyedError
        A signal was destroyed.
    """
    began = time.monotonic()
    with ExitStack() as uses:
        pvs = [(signal, uses.enter_context(signal.in_use()), kind) for signal, kind in wanted]
        while True:
            for signal, pv, _ in pvs:
                if not signal.wait_for(lambda pv=pv: pv.connected, deadline):
                    raise_silent(pv.pvname, deadline - began)
            gets = _ask([(pv, kind) for _, pv, kind in pvs])
            for (signal, pv, _), get in zip(pvs, gets, strict=True):
                if not _is_done(get, signal, deadline):
                    raise_silent(pv.pvname, deadline - began)
            if not any(get.failed for get in gets):
                return [get.value for get in gets]
            time.sleep(POLL)  # the circuit was lost in between: wait until it is back


def raise_silent(pv: str, timeout: float) -> NoReturn:
    """Raise `NotConnectedError` for a PV that does not answer; `timeout` in s."""
    raise NotConnectedError(silent_text(pv, timeout))


def silent_text(pv: str, timeout: float) -> str:
    """Return the message that a PV does not answer within a time (s), with what to check."""
    seconds = float(f"{max(0.0, timeout):.2g}")
    return (
        f"{pv} does not answer within {seconds:g} s: {is_prefix_right(pv)}, is the IOC running, "
        "does EPICS_CA_ADDR_LIST name its host?"
    )


_GLANCE = 0.05
"""How long a reply is waited for before the destruction of its signal is looked for (s)."""


class _Get:
    """One pending get.

    pyepics keeps one place for replies per PV: a get after one that timed out would receive the
    late reply, a value from before the request.
    """

    def __init__(self) -> None:
        self.done = threading.Event()
        self.failed = False
        self.value: float | str | bytes | None = None


def _is_done(get: _Get, signal: GuardedSignal, deadline: float) -> bool:
    """Wait for a reply, at most until a time of the monotonic clock (s); return whether it came."""
    while not get.done.wait(max(0.0, min(_GLANCE, deadline - time.monotonic()))):
        signal.check_alive()
        if time.monotonic() > deadline:
            return False
    return True


_pending: set[_Get] = set()
"""Kept alive until libca has called back: it knows only their addresses."""


def _take_reply(args: Any) -> None:
    get = args.usr
    if args.status != dbr.ECA_NORMAL:
        get.failed = True
    elif args.type == STRING:
        get.value = ctypes.string_at(args.raw_dbr).decode("latin-1")
    elif args.type == CHAR:
        get.value = ctypes.string_at(args.raw_dbr, args.count)
    else:
        number = ctypes.c_double if args.type == DOUBLE else ctypes.c_int32
        get.value = ctypes.cast(args.raw_dbr, ctypes.POINTER(number)).contents.value
    get.done.set()
    _pending.discard(get)


_on_reply = dbr.make_callback(_take_reply, dbr.event_handler_args)


def _ask(wanted: Sequence[tuple[Any, int]]) -> list[_Get]:
    gets = [_Get() for _ in wanted]
    libca: Any = ca.libca
    with _attached(wanted[0][0].context):
        for (pv, kind), get in zip(wanted, gets, strict=True):
            _pending.add(get)
            chid = pv.chid if isinstance(pv.chid, dbr.chid_t) else dbr.chid_t(pv.chid)
            count = pv.nelm if kind == CHAR else 1
            status = libca.ca_array_get_callback(kind, count, chid, _on_reply, ctypes.py_object(get))
            if status != dbr.ECA_NORMAL:
                _pending.discard(get)
                get.failed = True
                get.done.set()
        ca.flush_io()
    return gets


@contextmanager
def _attached(context: Any) -> Iterator[None]:
    """Attach this thread to the CA context of a PV; otherwise libca would silently create another one."""
    current = ca.current_context()
    if current == context:
        yield
        return
    if current is not None:
        ca.detach_context()
    ca.attach_context(context)
    try:
        yield
    finally:
        if current is not None:
            ca.detach_context()
            ca.attach_context(current)
