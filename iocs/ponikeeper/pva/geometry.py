"""The structure ``Geometry`` of one detector: what ``Snapshot_RBV`` publishes, read and put whole."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Result
from ponikeeper.protocol.geometry_structure import TYPE_ID, fields_of, spec
from ponikeeper.pva.geometry_rules import decide_put, flat, is_same
from ponikeeper.pva.published import Channel, Requests, Type, alarm_of, time_of

_TYPE = Type(TYPE_ID, spec())

_REMEMBERED = 100
"""Structures that are remembered, for clients that put back what they read: at 10 Hz, those of 10 s."""


class Geometry:
    """The structure of one detector.

    Parameters
    ----------
    channel
        ``Snapshot_RBV`` of the detector.
    requests
        Runs its requests.
    """

    needed = Right.WRITE
    """The right that a put needs."""

    def __init__(self, channel: Channel, requests: Requests) -> None:
        self._channel, self._requests = channel, requests
        self._published: deque[dict[str, object]] = deque(
            maxlen=_REMEMBERED
        )  # flat: a put compares all fields with all
        self.type = _TYPE

    def metadata(self) -> Mapping[str, object]:
        """Return no fields: all of them change."""
        return {}

    def update(self) -> Mapping[str, object]:
        """Return all fields, as the snapshot has them now."""
        fields = self._fields()
        self._published.append(flat(fields))
        return fields

    def watch(self, watcher: Callable[[], None]) -> None:
        """Register a function that is called after each update."""
        self._channel.watch(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Remove a function that was registered."""
        self._published.clear()
        self._channel.unwatch(watcher)

    def present(self) -> object:
        """Return the snapshot, as the put log has it."""
        return self._channel.present()

    def read_only_because(self, name: str) -> None:
        """Return None: the access rules decide who may put it."""

    def attempted(self, changed: Mapping[str, object]) -> object:
        """Return the fields that are put, as the put log has them."""
        return dict(changed)

    async def put(self, changed: Mapping[str, object], identity: ClientIdentity) -> Result | None:
        """Run the request that a put is; raises `RefusedError`."""
        try:
            request = decide_put(changed, flat(self._fields()), self._was_published)
        except RefusedError as error:
            await self._requests.refuse(error.problems)
            raise
        return await self._requests.execute(request, identity)

    def _fields(self) -> dict[str, object]:
        reading = self._channel.reading()
        fields = fields_of(cast("bytes", reading.value).decode("latin-1"))
        alarm = alarm_of(reading, str(fields["reason"]) if reading.severity else "")
        return {**fields, "alarm": alarm, "timeStamp": time_of(reading)}

    def _was_published(self, name: str, value: object) -> bool:
        return any(is_same(value, fields[name]) for fields in self._published)
