"""What the PVAccess server serves, in terms that neither protocol defines."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.protocol import Request, Result
from ponikeeper.protocol.geometry_structure import Spec
from ponikeeper.protocol.pvs import PV

EPICS_EPOCH = 631152000
"""Seconds from 1970-01-01 to 1990-01-01 (UTC)."""


class Reading(Protocol):
    """The value of a PV at one time; ``seconds`` count from 1990."""

    @property
    def value(self) -> str | int | float | bytes:
        """A number, the index of an enum, a text, or the bytes of a long text."""
        ...

    @property
    def status(self) -> int:
        """Alarm status of EPICS base."""
        ...

    @property
    def severity(self) -> int:
        """Alarm severity."""
        ...

    @property
    def seconds(self) -> int:
        """Time, whole seconds."""
        ...

    @property
    def nanoseconds(self) -> int:
        """Time, the rest."""
        ...


class Channel(Protocol):
    """A PV as the Channel Access server publishes it: the only source of its values."""

    pv: PV
    name: str

    def reading(self) -> Reading:
        """Return the value with alarm and time."""
        ...

    def present(self) -> object:
        """Return the present value, as the put log has it."""
        ...

    def watch(self, watcher: Callable[[], None]) -> None:
        """Register a function that is called after each update."""
        ...

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Remove a function that was registered."""
        ...

    def read_only_because(self, name: str) -> str | None:
        """Return why no client may ever put it; None if the access rules decide."""
        ...

    async def handle_value(self, value: float | str, identity: ClientIdentity) -> Result | None:
        """Handle a put of a value of the PV's own type."""
        ...


class Requests(Protocol):
    """The requests of one detector."""

    async def execute(self, request: Request, identity: ClientIdentity) -> Result:
        """Run a request and return its result; raises `RefusedError` unless it is accepted."""
        ...

    async def refuse(self, problems: tuple[str, ...]) -> object:
        """Refuse input that is not a valid request; raises `RefusedError`."""
        ...


class Type(NamedTuple):
    """A type of PVAccess: its id and its fields."""

    id: str
    spec: Spec


class Published(Protocol):
    """One PV of the PVAccess server."""

    @property
    def type(self) -> Type:
        """Its type."""
        ...

    @property
    def needed(self) -> Right | None:
        """The right that a put needs; None where no client may put it."""
        ...

    def metadata(self) -> Mapping[str, object]:
        """Return the fields that never change."""
        ...

    def update(self) -> Mapping[str, object]:
        """Return the other fields, as they are now."""
        ...

    def watch(self, watcher: Callable[[], None]) -> None:
        """Register a function that is called after each update."""
        ...

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Remove a function that was registered."""
        ...

    def present(self) -> object:
        """Return the present value, as the put log has it."""
        ...

    def read_only_because(self, name: str) -> str | None:
        """Return why no client may ever put it; None if the access rules decide."""
        ...

    def attempted(self, changed: Mapping[str, object]) -> object:
        """Return the value that is put, as the put log has it."""
        ...

    async def put(self, changed: Mapping[str, object], identity: ClientIdentity) -> Result | None:
        """Handle a put of some fields; raises `RefusedError`."""
        ...


_STATUSES: tuple[tuple[str, int], ...] = (
    ("", 0), ("READ", 1), ("WRITE", 1), ("HIHI", 1), ("HIGH", 1), ("LOLO", 1), ("LOW", 1), ("STATE", 1), ("COS", 1),
    ("COMM", 2), ("TIMEOUT", 2), ("HWLIMIT", 1), ("CALC", 3), ("SCAN", 3), ("LINK", 3), ("SOFT", 3), ("BAD_SUB", 3),
    ("UDF", 2), ("DISABLE", 4), ("SIMM", 4), ("READ_ACCESS", 4), ("WRITE_ACCESS", 4),
)  # fmt: skip
"""Each alarm status of EPICS base: its name, and the status of PVAccess that QSRV gives it."""

_UNDEFINED = ("UNKNOWN", 6)


def alarm_of(reading: Reading, message: str | None = None) -> dict[str, object]:
    """Return the alarm of a reading; its message is the name of the status, unless it has another."""
    name, status = _STATUSES[reading.status] if reading.status < len(_STATUSES) else _UNDEFINED
    return {"severity": reading.severity, "status": status, "message": name if message is None else message}


def time_of(reading: Reading) -> dict[str, object]:
    """Return the time of a reading."""
    return {"secondsPastEpoch": reading.seconds + EPICS_EPOCH, "nanoseconds": reading.nanoseconds, "userTag": 0}
