"""Monitors of the links' PVs, by aioca: caproto's client does not come back after a hung peer."""

import asyncio
import ctypes
import logging
import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from aioca import FORMAT_TIME, CANothing, Subscription, purge_channel_caches
from epicscorelibs.ca.cadef import ca_clear_channel, ca_create_channel, ca_flush_io

from ponikeeper.caclient.client import create_context
from ponikeeper.detector.link_rules import Sample
from ponikeeper.text.ascii import json_literal

log = logging.getLogger(__name__)

SampleCallback = Callable[[str, Sample], None]

_CONN_TMO = "1"
"""Seconds of silence after which libca asks a peer whether it lives, and waits 5 s more.

The site's own patience does not count here: as long as a hung peer is not noticed, its last value looks alive.
"""

_SEARCH_PERIOD = "60"
"""Seconds between two searches for a PV that never was there, at the longest, unless the site says otherwise."""

_SEARCH_DELAY, _MAX_SEARCH_DELAY = 5.0, 20.0
"""Seconds after which a lost PV is searched for as if it had never been there; twice as many each time, to a limit."""

_RESUBSCRIBE_DELAY = 5.0
"""Seconds after which a PV whose updates could not be read is monitored anew."""

_INVALID = 3
_MAX_TEXT = 40


class LinkMonitors:
    """Monitors PVs that may be absent, come late, hang, vanish and come back.

    Parameters
    ----------
    pvs
        Their names; each is monitored once.
    tell
        Called, in the running loop, with a name and what that PV says, from its first connection on.
    """

    def __init__(self, pvs: Iterable[str], on_sample: SampleCallback) -> None:
        os.environ["EPICS_CA_CONN_TMO"] = _CONN_TMO
        os.environ.setdefault("EPICS_CA_MAX_SEARCH_PERIOD", _SEARCH_PERIOD)
        create_context()
        self._monitors = [_Monitor(pv, on_sample) for pv in sorted(set(pvs))]

    def close(self) -> None:
        """End all monitors; the library is left without a channel."""
        for monitor in self._monitors:
            monitor.close()
        purge_channel_caches()


class _Monitor:
    """The monitor of one PV: subscribed anew at each connection, for its type may be another one then."""

    def __init__(self, pv: str, on_sample: SampleCallback) -> None:
        self._pv = pv
        self._on_sample = on_sample
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._failing = False
        self._search: asyncio.TimerHandle | None = None
        self._subscription = _Subscription(pv, self._on_update)

    def close(self) -> None:
        self._open = False
        self._subscription.close()
        if self._search is not None:
            self._search.cancel()

    def _on_update(self, value: Any) -> None:
        if isinstance(value, CANothing):
            log.info("%s: disconnected", self._pv)
            self._on_sample(self._pv, Sample())
            self._loop.call_soon(self._resubscribe)  # not at once: aioca is going through its subscriptions
            self._search_in(_SEARCH_DELAY)
        elif isinstance(value, BaseException):
            if not self._failing:
                log.warning("%s: its update cannot be read: %s", self._pv, value)
            self._failing = True
            self._on_sample(self._pv, Sample(connected=True, error="its updates cannot be read"))
            self._loop.call_later(_RESUBSCRIBE_DELAY, self._resubscribe)
        else:
            self._failing = False
            self._on_sample(self._pv, sample_of(value))

    def _resubscribe(self) -> None:
        if self._open:
            self._subscription.close()
            self._subscription = _Subscription(self._pv, self._on_update)

    def _search_in(self, delay: float) -> None:
        if self._search is not None:
            self._search.cancel()
        self._search = self._loop.call_later(delay, self._search_again, delay)

    def _search_again(self, delay: float) -> None:
        channel = self._subscription.channel
        if self._open and not channel.connected():
            _recreate_channel(channel)
            self._search_in(min(2 * delay, _MAX_SEARCH_DELAY))


class _Subscription(Subscription):
    """aioca's subscription, which tells that it ends.

    aioca closes a subscription whose update is an error (access taken away, another type than
    before), prints that and calls nobody: the last value would look alive for ever.
    """

    def __init__(self, pv: str, on_update: Callable[[Any], None]) -> None:
        super().__init__(
            pv, on_update, events=None, datatype=None, format=FORMAT_TIME, count=1,
            all_updates=False, notify_disconnect=True, connect_timeout=None,
        )  # fmt: skip

    def close(self, exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | None = None) -> None:
        """End it; tell the error that ends it."""
        with suppress(AttributeError, TypeError):  # it was never made, for its server had gone again
            super().close()
        self.state = self.CLOSED
        if exc_info is not None:
            self.callback(exc_info[1])


def _recreate_channel(channel: Any) -> None:
    """Let aioca's channel be a new one for libca.

    libca keeps a circuit on which nobody answers, and waits for TCP, which tries again ever more rarely:
    after a minute without packets it takes another minute. A circuit that loses its last channel ends, and
    a new channel is searched for at once, by which it finds its server on another one.
    """
    ca_clear_channel(channel)
    made = ctypes.c_void_p()
    ca_create_channel(channel.name, channel.on_ca_connect, ctypes.py_object(channel), 0, ctypes.byref(made))
    channel._as_parameter_ = made.value
    ca_flush_io()


def sample_of(value: Any) -> Sample:
    """Judge an update of aioca: a link has one finite number, and no alarm that makes it worthless."""
    problem = None
    if value.element_count != 1:
        problem = f"it is an array of {value.element_count}"
    elif isinstance(value, str):
        problem = f"it says {json_literal(str(value)[:_MAX_TEXT])}"
    elif value.severity >= _INVALID:
        problem = "its alarm is INVALID"
    elif not math.isfinite(value):
        problem = f"it says {float(value)}"
    if problem is not None:
        return Sample(connected=True, error=f"{problem}: expected a finite number")
    return Sample(connected=True, value=float(value))
