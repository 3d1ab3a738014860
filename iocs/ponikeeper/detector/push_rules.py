"""What is written to the PVs of the detector's own driver, and when. Pure.

After each activation, also of what is active already, and when one of the PVs is connected again, the values of the
active geometry are written that the detector does not have: only where the geometry applies, and never while the
detector acquires. Times are passed in: seconds of one monotonic clock.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ponikeeper.detector.link_rules import Sample
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.geometry import DEFAULT_ORIENTATION
from ponikeeper.protocol import Status, applies, quantity
from ponikeeper.protocol.link_units import conversion
from ponikeeper.protocol.pushed_values import VALUES, Target

READ_BACK = 5.0
"""How long a detector may take until its readback has what was written (s)."""

RETRY = 30.0
"""Time between two attempts to write what could not be written (s)."""

LATE = 600.0
"""How long the detector may be busy until that is an alarm (s)."""

_PIXELS = ("px", "pixel", "pixels")

_NO_NUMBER = {"states": "is an enum", "text": "is a text", "array": "is an array"}
"""Kinds of PVs that cannot have a value: a number of a state means something else at each driver."""

Samples = Mapping[str, Sample]


class Outcome(Enum):
    """State of the values at the detector."""

    OFF = "Off"
    OK = "OK"
    WAITING = "Waiting"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What was done so far.

    Parameters
    ----------
    serial
        Activation whose values are at the detector, or were written; None while they have to be written.
    written_at
        When they were written.
    failure
        Why they could not be written; empty where nothing failed.
    waiting_since
        Since when the detector has not been ready for them; None while it is.
    """

    serial: int | None = None
    written_at: float = -math.inf
    failure: str = ""
    waiting_since: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and what to show.

    Parameters
    ----------
    outcome, message
        For people.
    puts
        Where to put which value now.
    done
        Whether the values of the activation are at the detector.
    until
        When to decide again even if nothing changes (s).
    waiting_since
        Since when the detector has not been ready for what has to be written; None while it is.
    is_late
        Whether that is too long.
    """

    outcome: Outcome
    message: str
    puts: tuple[tuple[Target, float], ...] = field(default=())
    done: bool = False
    until: float | None = None
    waiting_since: float | None = None
    is_late: bool = False


def decide_push(
    targets: Sequence[Target],
    geometry: Geometry | None,
    status: Status,
    serial: int,
    samples: Samples,
    progress: Progress,
    now: float,
) -> Decision:
    """Decide what is written to the detector.

    Parameters
    ----------
    targets
        The PVs of the configuration.
    geometry, status, serial
        The active geometry, its status, and its activation.
    samples
        The last update of each PV of the targets.
    progress
        What was done so far.
    now
        The present time (s).

    Returns
    -------
    Decision
        The puts, if any, and what to show.
    """
    if not targets:
        return Decision(Outcome.OFF, "")
    if geometry is None or not applies(status):
        return Decision(Outcome.WAITING, f"the status is {status.name}: nothing is written until the geometry applies")
    problems = dict.fromkeys(_problem(target, geometry, samples) for target in targets)
    if any(problems):
        return Decision(Outcome.FAILED, "; ".join(filter(None, problems)))
    if any(target.units and samples[target.readback].egu is None for target in targets):
        return _not_ready("waiting for the units of the PVs of the detector", progress, now)
    differing = [target for target in targets if not _has(target, geometry, samples)]
    if not differing:
        return Decision(Outcome.OK, f"the detector has the values of activation {serial}", done=True)
    if progress.serial == serial:
        return _not_read_back(differing, geometry, samples, progress, now)
    if progress.failure and now < progress.written_at + RETRY:
        return Decision(Outcome.FAILED, progress.failure, until=progress.written_at + RETRY)
    busy = sorted({target.acquiring for target in differing if samples[target.acquiring].value})
    if busy:
        return _not_ready(f"the detector acquires ({', '.join(busy)}): written when it is idle", progress, now)
    return Decision(
        Outcome.WAITING,
        f"writing the values of activation {serial}",
        tuple((target, _wanted(target, geometry, samples)) for target in differing),
    )


def _not_ready(message: str, progress: Progress, now: float) -> Decision:
    """Return that the detector is not ready, which is an alarm after some time."""
    since = now if progress.waiting_since is None else progress.waiting_since
    if now < since + LATE:
        return Decision(Outcome.WAITING, message, until=since + LATE, waiting_since=since)
    late = f"{message}; for more than {LATE / 60:g} minutes it has had other values than the active geometry"
    return Decision(Outcome.WAITING, late, waiting_since=since, is_late=True)


def _problem(target: Target, geometry: Geometry, samples: Samples) -> str:
    """Return why a value cannot be written; empty where it can."""
    if VALUES[target.value].value_in(target.units, geometry) is None:
        needed = "" if geometry.orientation == DEFAULT_ORIENTATION else ": expected max_shape in detector_config"
        return f"{target.value} is not defined for this geometry (orientation {geometry.orientation}){needed}"
    for pv in target.pvs:
        if not samples.get(pv, Sample()).connected:
            return f"{pv} is not connected"
    for pv in (target.pv, target.readback):
        if problem := kind_problem(pv, samples[pv]):
            return problem
    if samples[target.acquiring].value is None:
        return f"{target.acquiring} cannot be used: {samples[target.acquiring].error}"
    return units_problem(target, samples[target.readback])


def kind_problem(pv: str, sample: Sample) -> str:
    """Return that a PV is no number; empty where it is one.

    Parameters
    ----------
    pv
        The PV that is written, or its readback.
    sample
        Its last update.

    Returns
    -------
    str
        A sentence for a person.
    """
    found = _NO_NUMBER.get(sample.kind)
    return "" if found is None else f"{pv} {found}: expected a PV with one number: nothing is written"


def units_problem(target: Target, sample: Sample) -> str:
    """Return that a PV reports other units than the configuration has; empty where it does not.

    Parameters
    ----------
    target
        What is written.
    sample
        The last update of its readback.

    Returns
    -------
    str
        A sentence for a person.
    """
    egu = sample.egu
    if egu is None or not egu.text or (target.units == "px" and egu.text.lower().startswith(_PIXELS)):
        return ""
    factor = conversion(egu, target.units)
    if factor == 1 or not target.units:
        return ""
    return (
        f"{target.readback} is in {egu.text}, the configuration says {target.units or 'no units'}: nothing is written"
    )


def _wanted(target: Target, geometry: Geometry, samples: Samples) -> float:
    """Return the value that the detector must have: a whole number where it has no others."""
    value = VALUES[target.value].value_in(target.units, geometry)
    assert value is not None  # _problem has checked that
    is_whole = "whole" in (samples[target.pv].kind, samples[target.readback].kind)
    return float(round(value)) if is_whole else value


def _has(target: Target, geometry: Geometry, samples: Samples) -> bool:
    read = samples[target.readback].value
    return read is not None and target.is_same(_wanted(target, geometry, samples), read)


def _not_read_back(
    differing: Sequence[Target], geometry: Geometry, samples: Samples, progress: Progress, now: float
) -> Decision:
    """Return what to show where the detector does not have what was written."""
    ends = progress.written_at + READ_BACK
    if now < ends:
        return Decision(Outcome.WAITING, "waiting for the readbacks of the detector", until=ends)
    found = [_difference(target, geometry, samples) for target in differing]
    return Decision(
        Outcome.FAILED,
        f"{'; '.join(found)}: the detector did not accept it, or it was changed there; to write it, activate the "
        "revision again",
    )


def _difference(target: Target, geometry: Geometry, samples: Samples) -> str:
    sample = samples[target.readback]
    has = f"cannot be used: {sample.error}"
    if sample.value is not None:
        has = f"is {quantity(sample.value, target.units)}"
    return f"{target.readback} {has}, the active geometry has {_wanted(target, geometry, samples):.9g}"
