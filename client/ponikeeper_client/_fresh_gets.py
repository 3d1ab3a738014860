"""Gets that are surely fresh: several PVs asked in one flush, no reply taken for another's (pyepics)."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import ophyd  # noqa: F401  # before epics, which it sets up

from epics import ca, dbr

from ponikeeper.errors import NotConnectedError

LONG, STRING = dbr.LONG, dbr.STRING
"""The CA types that can be asked for."""

POLL = 0.0005
"""How long a thread sleeps before it looks again at what a monitor brings (s)."""


def wait_for(condition: Callable[[], object], deadline: float) -> bool:
    """Wait until something is true, at most until an instant of the monotonic clock (s)."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def fresh_values(wanted: Sequence[tuple[Any, int]], deadline: float) -> list[Any]:
    """Get values from the server, all asked in one flush.

    Parameters
    ----------
    wanted
        pyepics PVs, each with the CA type to ask for, `LONG` or `STRING`.
    deadline
        By the monotonic clock (s).

    Returns
    -------
    list of int or str
        As wanted.

    Raises
    ------
    NotConnectedError
        Naming the first PV that did not answer.
    """
    began = time.monotonic()
    while True:
        for pv, _ in wanted:
            if not wait_for(lambda pv=pv: pv.connected, deadline):
                raise_silent(pv.pvname, deadline - began)
        gets = _ask(wanted)
        gets[-1].done.wait(max(0.0, deadline - time.monotonic()))  # replies come in order: mostly one wait is enough
        for (pv, _), get in zip(wanted, gets, strict=True):
            if not get.done.wait(max(0.0, deadline - time.monotonic())):
                raise_silent(pv.pvname, deadline - began)
        if not any(get.failed for get in gets):
            return [get.value for get in gets]
        time.sleep(POLL)  # the circuit was lost in between: its return is waited for


def raise_silent(pv: str, timeout: float) -> NoReturn:
    """Say that a PV does not answer; `timeout` in s."""
    raise NotConnectedError(silent_text(pv, timeout))


def silent_text(pv: str, timeout: float) -> str:
    """Return the message that a PV does not answer within a time (s), with what to check."""
    return (
        f"{pv} does not answer within {max(0.0, timeout):.3g} s: is the prefix right, is the IOC running, "
        "does EPICS_CA_ADDR_LIST name its host?"
    )


class _Get:
    """One get that is under way.

    pyepics keeps one place for replies per PV: a get after one that timed out would be given the
    late reply, a value from before the question.
    """

    def __init__(self) -> None:
        self.done = threading.Event()
        self.failed = False
        self.value: int | str | None = None


_under_way: set[_Get] = set()
"""Kept alive for libca, which knows only their addresses, until it has called back."""


def _take_reply(args: Any) -> None:
    get = args.usr
    if args.status != dbr.ECA_NORMAL:
        get.failed = True
    elif args.type == STRING:
        get.value = ctypes.string_at(args.raw_dbr).decode("latin-1")
    else:
        get.value = ctypes.cast(args.raw_dbr, ctypes.POINTER(ctypes.c_int32)).contents.value
    get.done.set()
    _under_way.discard(get)


_on_reply = dbr.make_callback(_take_reply, dbr.event_handler_args)


def _ask(wanted: Sequence[tuple[Any, int]]) -> list[_Get]:
    gets = [_Get() for _ in wanted]
    libca: Any = ca.libca
    with _attached(wanted[0][0].context):
        for (pv, kind), get in zip(wanted, gets, strict=True):
            _under_way.add(get)
            chid = pv.chid if isinstance(pv.chid, dbr.chid_t) else dbr.chid_t(pv.chid)
            status = libca.ca_array_get_callback(kind, 1, chid, _on_reply, ctypes.py_object(get))
            if status != dbr.ECA_NORMAL:
                _under_way.discard(get)
                get.failed = True
                get.done.set()
        ca.flush_io()
    return gets


@contextmanager
def _attached(context: Any) -> Iterator[None]:
    """Let this thread use the CA context of a PV; libca would silently make it one of its own."""
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
