"""The PVs of the contract as normative types: NTScalar and NTEnum, with the values that Channel Access publishes."""

from collections.abc import Callable, Mapping
from typing import cast

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Result
from ponikeeper.protocol.geometry_structure import ALARM, TIME, Spec
from ponikeeper.protocol.pvs import PV, Kind
from ponikeeper.pva.published import Channel, Type, alarm_of, time_of

_COMMON: Spec = [("alarm", ("S", "alarm_t", ALARM)), ("timeStamp", ("S", "time_t", TIME))]
_FORM: Spec = [("index", "i"), ("choices", "as")]
_FORMS = ("Default", "String", "Binary", "Decimal", "Hex", "Exponential", "Engineering")


def _number(code: str) -> Type:
    limits: Spec = [("limitLow", code), ("limitHigh", code)]
    display: Spec = [
        *limits, ("description", "s"), ("units", "s"), ("precision", "i"), ("form", ("S", "enum_t", _FORM)),
    ]  # fmt: skip
    return Type(
        "epics:nt/NTScalar:1.0",
        [
            ("value", code),
            *_COMMON,
            ("display", ("S", None, display)),
            ("control", ("S", None, [*limits, ("minStep", code)])),
        ],
    )


_TEXT = Type(
    "epics:nt/NTScalar:1.0",
    [("value", "s"), *_COMMON, ("display", ("S", None, [("description", "s"), ("units", "s")]))],
)

_TYPES: Mapping[Kind, Type] = {
    Kind.DOUBLE: _number("d"),
    Kind.LONG: _number("i"),
    Kind.STRING: _TEXT,
    Kind.TEXT: _TEXT,
    Kind.ENUM: Type(
        "epics:nt/NTEnum:1.0",
        [
            ("value", ("S", "enum_t", _FORM)),
            *_COMMON,
            ("display", ("S", None, [("description", "s")])),
        ],
    ),
}


class Scalar:
    """One PV of the contract.

    Parameters
    ----------
    channel
        Its channel of Channel Access.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.type = _TYPES[channel.pv.kind]

    @property
    def needed(self) -> Right | None:
        """The right that a put needs; None where no client may put it."""
        return needed_right(self._channel.pv)

    def metadata(self) -> Mapping[str, object]:
        """Return the fields that never change: description, units, precision, limits, states."""
        pv = self._channel.pv
        display: dict[str, object] = {"description": pv.desc}
        if pv.kind is Kind.ENUM:
            return {"value": {"choices": list(pv.states)}, "display": display}
        display["units"] = pv.units
        if pv.kind not in (Kind.DOUBLE, Kind.LONG):
            return {"display": display}
        number = float if pv.kind is Kind.DOUBLE else int
        low, high = map(number, pv.limits or (0.0, 0.0))
        limits = {"limitLow": low, "limitHigh": high}
        form = {"index": 0, "choices": list(_FORMS)}
        return {
            "display": {**display, **limits, "precision": pv.precision, "form": form},
            "control": {**limits, "minStep": number(0)},
        }

    def update(self) -> Mapping[str, object]:
        """Return value, alarm and time."""
        reading = self._channel.reading()
        value: object = reading.value
        if isinstance(value, bytes):
            value = value.partition(b"\0")[0].decode("latin-1")
        if self._channel.pv.kind is Kind.ENUM:
            value = {"index": value}
        return {"value": value, "alarm": alarm_of(reading), "timeStamp": time_of(reading)}

    def watch(self, watcher: Callable[[], None]) -> None:
        """Register a function that is called after each update."""
        self._channel.watch(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Remove a function that was registered."""
        self._channel.unwatch(watcher)

    def present(self) -> object:
        """Return the present value, as the put log has it."""
        return self._channel.present()

    def read_only_because(self, name: str) -> str | None:
        """Return why no client may ever put it; None if the access rules decide."""
        return self._channel.read_only_because(name)

    def attempted(self, changed: Mapping[str, object]) -> object:
        """Return the value that is put, as the put log has it; all fields if it is not among them."""
        return changed.get(self._field, dict(changed))

    async def put(self, changed: Mapping[str, object], identity: ClientIdentity) -> Result | None:
        """Put the value; raises `RefusedError`.

        Limits, alarm and time of a client are ignored: one that gets, then puts, sends them back.
        """
        if self._field not in changed:
            raise RefusedError(f"{self._channel.name}: {self._field} is not put: nothing else of this PV can be")
        return await self._channel.handle_value(cast("float | str", changed[self._field]), identity)

    @property
    def _field(self) -> str:
        return "value.index" if self._channel.pv.kind is Kind.ENUM else "value"


def needed_right(pv: PV) -> Right | None:
    """Return the right that a put to a PV needs; None where no client may put it."""
    if not pv.writable:
        return None
    return Right.READ if pv.query_only else Right.WRITE
