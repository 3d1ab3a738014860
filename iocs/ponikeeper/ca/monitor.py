"""A monitor of one PV that survives its server, by aioca: caproto's client does not return to a peer that hung."""

import asyncio
import ctypes
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import aioca
from aioca import FORMAT_TIME, CANothing
from epicscorelibs.ca.cadef import ECA_DISCONN, ca_clear_channel, ca_create_channel, ca_flush_io

log = logging.getLogger(__name__)

_SEARCH_DELAY, _MAX_SEARCH_DELAY = 5.0, 20.0
"""Seconds after which a lost PV is searched for on a new channel; doubled each time, up to the second value."""

_RESUBSCRIBE_DELAY = 5.0
"""Seconds after which a PV whose updates could not be read is subscribed again."""


class Monitor:
    """The monitor of one PV: subscribed again at each connection, since the type may have changed.

    Parameters
    ----------
    pv
        Its name.
    on_update
        Called with each value of aioca; with None when the PV is disconnected, and with an error when an update
        cannot be read.
    options
        Of the subscription.
    """

    def __init__(self, pv: str, on_update: Callable[[Any], None], **options: Any) -> None:
        self._pv = pv
        self._report = on_update
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._failing = False
        self._search: asyncio.TimerHandle | None = None
        self._subscription = Subscription(pv, self._on_update, **options)

    def close(self) -> None:
        """Close the subscription."""
        self._open = False
        self._subscription.close()
        if self._search is not None:
            self._search.cancel()

    def _on_update(self, value: Any) -> None:
        if isinstance(value, CANothing) and value.errorcode == ECA_DISCONN:
            log.info("%s: disconnected", self._pv)
            self._report(None)
            self._loop.call_soon(self._resubscribe)  # not at once: aioca is iterating over its subscriptions
            self._search_in(_SEARCH_DELAY)
        elif isinstance(value, BaseException):
            if not self._failing:
                log.warning("%s: its update cannot be read: %s", self._pv, value)
            self._failing = True
            self._report(value)
            self._loop.call_later(_RESUBSCRIBE_DELAY, self._resubscribe)
        else:
            self._failing = False
            self._report(value)

    def _resubscribe(self) -> None:
        if self._open:
            self._subscription.close()
            self._subscription = Subscription(self._pv, self._on_update, **self._options)

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


class Subscription(aioca.Subscription):
    """aioca's subscription, which reports the error that closes it.

    aioca closes a subscription whose update is an error (access withdrawn, another type than before)
    and only prints that: the last value would look current for ever.
    """

    def __init__(
        self,
        pv: str,
        on_update: Callable[[Any], None],
        events: int | None = None,
        datatype: Any = None,
        format: Any = FORMAT_TIME,  # noqa: A002  # aioca's name
    ) -> None:
        super().__init__(
            pv, on_update, events=events, datatype=datatype, format=format, count=1,
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
