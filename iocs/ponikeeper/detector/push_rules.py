"""What is written to the PVs of the detector's own driver, and when. Pure.

After each activation, and when one of the PVs is connected again, the values of the active geometry are written that
the detector does not have: only where the geometry applies, and never while the detector acquires.
Times are passed in: seconds of one monotonic clock.
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

_PIXELS = ("px", "pixel", "pixels")

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
    """

    serial: int | None = None
    written_at: float = -math.inf
    failure: str = ""


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
    """

    outcome: Outcome
    message: str
    puts: tuple[tuple[Target, float], ...] = field(default=())
    done: bool = False
    until: float | None = None


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
        The last update of each readback and of each PV that says whether the detector acquires.
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
        return Decision(Outcome.WAITING, "waiting for the units of the PVs of the detector")
    differing = [target for target in targets if not _has(target, geometry, samples)]
    if not differing:
        return Decision(Outcome.OK, f"the detector has the values of activation {serial}", done=True)
    if progress.serial == serial:
        return _not_read_back(differing, geometry, samples, progress, now)
    if progress.failure and now < progress.written_at + RETRY:
        return Decision(Outcome.FAILED, progress.failure, until=progress.written_at + RETRY)
    busy = sorted({target.acquiring for target in differing if samples[target.acquiring].value})
    if busy:
        return Decision(Outcome.WAITING, f"the detector acquires ({', '.join(busy)}): written when it is idle")
    return Decision(
        Outcome.WAITING,
        f"writing the values of activation {serial}",
        tuple((target, _wanted(target, geometry)) for target in differing),
    )


def _problem(target: Target, geometry: Geometry, samples: Samples) -> str:
    """Return why a value cannot be written; empty where it can."""
    if VALUES[target.value].value_in(target.units, geometry) is None:
        needed = "" if geometry.orientation == DEFAULT_ORIENTATION else ": expected max_shape in detector_config"
        return f"{target.value} is not defined for this geometry (orientation {geometry.orientation}){needed}"
    for pv in (target.readback, target.acquiring):
        if not samples.get(pv, Sample()).connected:
            return f"{pv} is not connected"
    if samples[target.acquiring].value is None:
        return f"{target.acquiring} cannot be used: {samples[target.acquiring].error}"
    return units_problem(target, samples[target.readback])


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


def _wanted(target: Target, geometry: Geometry) -> float:
    value = VALUES[target.value].value_in(target.units, geometry)
    assert value is not None  # _problem has checked that
    return value


def _has(target: Target, geometry: Geometry, samples: Samples) -> bool:
    read = samples[target.readback].value
    return read is not None and VALUES[target.value].is_same(_wanted(target, geometry), read, target.units)


def _not_read_back(
    differing: Sequence[Target], geometry: Geometry, samples: Samples, progress: Progress, now: float
) -> Decision:
    """Return what to show where the detector does not have what was written."""
    ends = progress.written_at + READ_BACK
    if now < ends:
        return Decision(Outcome.WAITING, "waiting for the readbacks of the detector", until=ends)
    found = [_difference(target, geometry, samples[target.readback]) for target in differing]
    return Decision(
        Outcome.FAILED,
        f"{'; '.join(found)}: the detector did not accept it, or it was changed there; the next activation writes it",
    )


def _difference(target: Target, geometry: Geometry, sample: Sample) -> str:
    has = f"cannot be used: {sample.error}"
    if sample.value is not None:
        has = f"is {quantity(sample.value, target.units)}"
    return f"{target.readback} {has}, the active geometry has {_wanted(target, geometry):.9g}"
