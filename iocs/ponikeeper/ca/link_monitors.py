"""Monitors of the linked PVs: their values, and the units that they report."""

import asyncio
import functools
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import aioca
from aioca import DBE_ALARM, DBE_PROPERTY, FORMAT_CTRL, purge_channel_caches

from ponikeeper.ca.monitor import Monitor, Subscription
from ponikeeper.caclient.client import create_context
from ponikeeper.detector.link_rules import Sample
from ponikeeper.protocol.link_units import Egu
from ponikeeper.text.ascii import json_literal

SampleCallback = Callable[[str, Sample], None]

_CONN_TMO = "1"
"""Seconds of silence after which libca sends an echo to a peer, and waits 5 s more.

The site's own setting is not used here: until a hung peer is noticed, its last value looks current.
"""

_SEARCH_PERIOD = "60"
"""Longest time between two searches for a PV that was never found, unless the site sets another (s)."""

_EGU_DELAY = 2.0
"""Seconds after which a PV that is connected, but whose field EGU is not, has no such field."""

_FIELD = re.compile("[A-Z][A-Z0-9]{0,3}")

_KINDS = {aioca.DBR_STRING: "text", aioca.DBR_ENUM: "states"} | dict.fromkeys(
    (aioca.DBR_SHORT, aioca.DBR_CHAR, aioca.DBR_LONG), "whole"
)

_INVALID = 3
_MAX_TEXT = 40


class LinkMonitors:
    """Monitors of PVs that may be absent, start late, hang, disconnect and reconnect.

    Parameters
    ----------
    pvs
        Their names; each is monitored once.
    with_units
        Those of them whose units are monitored, too.
    on_sample
        Called in the running loop with the name and the sample of a PV, from its first connection on.
    """

    def __init__(self, pvs: Iterable[str], with_units: Iterable[str], on_sample: SampleCallback) -> None:
        os.environ["EPICS_CA_CONN_TMO"] = _CONN_TMO
        os.environ.setdefault("EPICS_CA_MAX_SEARCH_PERIOD", _SEARCH_PERIOD)
        create_context()
        measured = {*with_units}
        self._links = [
            (_MeasuredPV if pv in measured else _PlainPV)(pv, functools.partial(on_sample, pv)) for pv in sorted({*pvs})
        ]

    def close(self) -> None:
        """Close all monitors and channels."""
        for link in self._links:
            link.close()
        purge_channel_caches()


class _PlainPV:
    """A PV without units."""

    def __init__(self, pv: str, on_sample: Callable[[Sample], None]) -> None:
        self._monitor = Monitor(pv, lambda update: on_sample(_sample_of_update(update)))

    def close(self) -> None:
        self._monitor.close()


class _MeasuredPV:
    """A PV with the units that it reports: those of its field EGU, else those that come with its value.

    Each sample has the units of this connection, or none until they are known: before a server restarted it may
    have had others.
    """

    def __init__(self, pv: str, on_sample: Callable[[Sample], None]) -> None:
        self._pv = pv
        self._on_sample = on_sample
        self._loop = asyncio.get_running_loop()
        self._sample = Sample()
        self._field: Egu | None = None
        self._with_value: Egu | None = None
        self._fallback: Subscription | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._field_monitor = Monitor(egu_name(pv), self._on_field, datatype=bytes)
        self._monitor = Monitor(pv, self._on_value)

    def close(self) -> None:
        self._sample = Sample()
        self._monitor.close()
        self._field_monitor.close()
        self._end_fallback()

    def _on_value(self, update: Any) -> None:
        self._sample = _sample_of_update(update)
        if not self._sample.connected:
            self._forget_fallback()
        self._report()

    def _on_field(self, update: Any) -> None:
        self._field = None if update is None or isinstance(update, BaseException) else Egu(_decoded(update))
        self._report()

    def _on_fallback(self, update: Any) -> None:
        if isinstance(update, BaseException):
            self._forget_fallback()
        else:
            self._with_value = Egu(getattr(update, "units", "").strip(), is_cut=True)
        self._report()

    def _report(self) -> None:
        self._plan_fallback()
        self._on_sample(replace(self._sample, egu=self._field or self._with_value))

    def _plan_fallback(self) -> None:
        """Read the units that come with the value if there is no field EGU for a while."""
        if self._sample.connected and self._field is None and self._fallback is None and self._timer is None:
            self._timer = self._loop.call_later(_EGU_DELAY, self._begin_fallback)

    def _begin_fallback(self) -> None:
        self._timer = None
        if self._sample.connected and self._field is None:
            events = DBE_PROPERTY | DBE_ALARM  # gateways refuse a mask that they do not know
            self._fallback = Subscription(self._pv, self._on_fallback, events=events, format=FORMAT_CTRL)

    def _forget_fallback(self) -> None:
        """Forget the units that came with the value: what is connected next may be another server."""
        self._with_value = None
        self._loop.call_soon(self._restart_fallback)  # not at once: aioca is iterating over its subscriptions

    def _restart_fallback(self) -> None:
        self._end_fallback()
        self._plan_fallback()

    def _end_fallback(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fallback is not None:
            self._fallback.close()
            self._fallback = None


def egu_name(pv: str) -> str:
    """Return the name of the field with the units of a PV: that of its record.

    Parameters
    ----------
    pv
        Name of a PV, with or without a field.

    Returns
    -------
    str
        ``BL:z.EGU`` for ``BL:z`` and for ``BL:z.RBV``.
    """
    record, dot, field = pv.rpartition(".")
    return f"{record if dot and _FIELD.fullmatch(field) else pv}.EGU"


def _decoded(text: bytes) -> str:
    """Decode units: CA has no encoding, and sites write degree and micro signs in one of these two."""
    try:
        return text.decode("utf-8").strip()
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()


def _sample_of_update(update: Any) -> Sample:
    """Return the sample of an update of a `Monitor`."""
    if update is None:
        return Sample()
    if isinstance(update, BaseException):
        return Sample(connected=True, error="its updates cannot be read")
    return sample_of(update)


def sample_of(value: Any) -> Sample:
    """Return the sample of an update of aioca; a link must be one finite number without an INVALID alarm."""
    problem, severity = None, int(value.severity)
    kind = "array" if value.element_count != 1 else _KINDS.get(value.datatype, "number")
    if kind == "array":
        problem = f"it is an array of {value.element_count}"
    elif isinstance(value, str):
        problem = f"it says {json_literal(str(value)[:_MAX_TEXT])}"
    elif severity >= _INVALID:
        problem = "its alarm is INVALID"
    elif not math.isfinite(value):
        problem = f"it says {float(value)}"
    if problem is not None:
        return Sample(connected=True, error=f"{problem}: expected a finite number", severity=severity, kind=kind)
    return Sample(connected=True, value=float(value), severity=severity, kind=kind)
