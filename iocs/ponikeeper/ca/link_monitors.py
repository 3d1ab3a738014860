"""Monitors of the linked PVs, by aioca: caproto's client does not reconnect after a peer that hung."""

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
from epicscorelibs.ca.cadef import ECA_DISCONN, ca_clear_channel, ca_create_channel, ca_flush_io

from ponikeeper.caclient.client import create_context
from ponikeeper.detector.link_rules import Sample
from ponikeeper.text.ascii import json_literal

log = logging.getLogger(__name__)

SampleCallback = Callable[[str, Sample], None]

_CONN_TMO = "1"
"""Seconds of silence after which libca sends an echo to a peer, and waits 5 s more.

The site's own setting is not used here: until a hung peer is noticed, its last value looks current.
"""

_SEARCH_PERIOD = "60"
"""Longest time between two searches for a PV that was never found, unless the site sets another (s)."""

_SEARCH_DELAY, _MAX_SEARCH_DELAY = 5.0, 20.0
"""Seconds after which a lost PV is searched for on a new channel; doubled each time, up to the second value."""

_RESUBSCRIBE_DELAY = 5.0
"""Seconds after which a PV whose updates could not be read is subscribed again."""

_INVALID = 3
_MAX_TEXT = 40


class LinkMonitors:
    """Monitors of PVs that may be absent, start late, hang, disconnect and reconnect.

    Parameters
    ----------
    pvs
        Their names; each is monitored once.
    on_sample
        Called in the running loop with the name and the sample of a PV, from its first connection on.
    """

    def __init__(self, pvs: Iterable[str], on_sample: SampleCallback) -> None:
        os.environ["EPICS_CA_CONN_TMO"] = _CONN_TMO
        os.environ.setdefault("EPICS_CA_MAX_SEARCH_PERIOD", _SEARCH_PERIOD)
        create_context()
        self._monitors = [_Monitor(pv, on_sample) for pv in sorted(set(pvs))]

    def close(self) -> None:
        """Close all monitors and channels."""
        for monitor in self._monitors:
            monitor.close()
        purge_channel_caches()


class _Monitor:
    """The monitor of one PV: subscribed again at each connection, since the type may have changed."""

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
        if isinstance(value, CANothing) and value.errorcode == ECA_DISCONN:
            log.info("%s: disconnected", self._pv)
            self._on_sample(self._pv, Sample())
            self._loop.call_soon(self._resubscribe)  # not at once: aioca is iterating over its subscriptions
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


_NEVER_CREATED = (AttributeError, TypeError, KeyError, ctypes.ArgumentError)
"""What aioca raises when it closes a subscription that libca refused, or whose server was gone again."""


class _Subscription(Subscription):
    """aioca's subscription, which reports the error that closes it.

    aioca closes a subscription whose update is an error (access withdrawn, another type than before)
    and only prints that: the last value would look current for ever.
    """

    def __init__(self, pv: str, on_update: Callable[[Any], None]) -> None:
        super().__init__(
            pv, on_update, events=None, datatype=None, format=FORMAT_TIME, count=1,
            all_updates=False, notify_disconnect=True, connect_timeout=None,
        )  # fmt: skip

    def close(self, exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | None = None) -> None:
        """Close the subscription; report the error that closes it."""
        with suppress(*_NEVER_CREATED):
            super().close()
        self.state = self.CLOSED
        if exc_info is not None:
            self.callback(exc_info[1])


def _recreate_channel(channel: Any) -> None:
    """Replace libca's channel of aioca's channel by a new one.

    libca keeps a circuit that does not answer and waits for TCP, whose retries become rarer: after a minute
    without packets it takes another minute. A circuit without channels is closed, and a new channel is
    searched for at once, so it finds its server on a new circuit.
    """
    ca_clear_channel(channel)
    made = ctypes.c_void_p()
    ca_create_channel(channel.name, channel.on_ca_connect, ctypes.py_object(channel), 0, ctypes.byref(made))
    channel._as_parameter_ = made.value
    ca_flush_io()


def sample_of(value: Any) -> Sample:
    """Return the sample of an update of aioca; a link must be one finite number without an INVALID alarm."""
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
