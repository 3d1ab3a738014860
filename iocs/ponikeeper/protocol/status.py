"""The statuses of a geometry: their indices, severities and precedence, and which of them permit its use."""

from enum import IntEnum
from types import MappingProxyType


class Status(IntEnum):
    """Whether the active revision applies now; an index is never reused for another state."""

    UNSET = 0
    VALID = 1
    MOVING = 2
    MOVED = 3
    MISMATCH = 4
    UNKNOWN = 5
    SUPERSEDED = 6
    RETRACTED = 7
    UNWATCHED = 8
    OUT_OF_RANGE = 9
    UNCERTAIN = 10


class Severity(IntEnum):
    """Alarm severity, with the numbers of EPICS."""

    NONE = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


SEVERITIES = MappingProxyType(
    {
        Status.UNSET: Severity.INVALID,
        Status.VALID: Severity.NONE,
        Status.MOVING: Severity.MINOR,
        Status.MOVED: Severity.MAJOR,
        Status.MISMATCH: Severity.MAJOR,
        Status.UNKNOWN: Severity.INVALID,
        Status.SUPERSEDED: Severity.MAJOR,
        Status.RETRACTED: Severity.MAJOR,
        Status.UNWATCHED: Severity.NONE,
        Status.OUT_OF_RANGE: Severity.MAJOR,
        Status.UNCERTAIN: Severity.MINOR,
    }
)
"""Alarm severity of each status."""

PRECEDENCE = (
    Status.UNSET,
    Status.UNKNOWN,
    Status.RETRACTED,
    Status.SUPERSEDED,
    Status.MOVING,
    Status.OUT_OF_RANGE,
    Status.MOVED,
    Status.MISMATCH,
    Status.UNCERTAIN,
    Status.UNWATCHED,
    Status.VALID,
)
"""Which status is shown if several apply: the first of them."""

BY_LINKS = frozenset({Status.MOVING.name, Status.MOVED.name, Status.MISMATCH.name})
"""Names of the statuses that can be the effect of a link that is moved on purpose."""

_APPLYING = frozenset({Status.VALID, Status.UNWATCHED, Status.UNCERTAIN})


def applies(status: Status | str) -> bool:
    """Return whether a geometry with this status may be used.

    Parameters
    ----------
    status
        A status, or its name. A name that this version does not know does not permit the use.

    Returns
    -------
    bool
        Whether the status is VALID, UNWATCHED (nothing checks the geometry) or UNCERTAIN (use it with a warning).
    """
    known = Status.__members__.get(status) if isinstance(status, str) else status
    return known in _APPLYING


def reaches(status: str, wanted: str) -> bool:
    """Return whether a status is the one that is waited for.

    Parameters
    ----------
    status
        The name of the present status.
    wanted
        The name of a status. VALID stands for every status that permits the use of the geometry: without links a
        geometry never becomes VALID.

    Returns
    -------
    bool
        Whether the wait is over.
    """
    return applies(status) if wanted == Status.VALID.name else status == wanted
