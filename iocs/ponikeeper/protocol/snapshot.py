"""The snapshot: all that is in force on one detector, as one text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Position
from ponikeeper.protocol.json_text import VERSION, read_object
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is in force on one detector, at one instant.

    `geometry` is None, and `revision` and `serial` are 0, where the status is UNSET. `position` is
    None where it was never recorded.
    """

    prefix: str
    status: str
    reason: str
    serial: int = 0
    revision: int = 0
    uid: str | None = None
    checksum: str | None = None
    label: str | None = None
    activated: str | None = None
    geometry: Geometry | None = None
    position: Position | None = None
    provenance: Mapping[str, object] = field(default_factory=dict[str, object])

    def as_json(self) -> str:
        """Write the text of ``Snapshot_RBV``."""
        return strictjson.dumps(
            {
                "v": VERSION,
                "prefix": self.prefix,
                "status": self.status,
                "reason": self.reason,
                "serial": self.serial,
                "revision": self.revision,
                "uid": self.uid,
                "checksum": self.checksum,
                "label": self.label,
                "activated": self.activated,
                "geometry": self.geometry and self.geometry.as_dict(),
                "position": strictjson.plain(self.position),
                "provenance": strictjson.plain(self.provenance),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        """Read the text of ``Snapshot_RBV``.

        Raises
        ------
        MessageError
            The text is no snapshot of version 1.
        """
        values = read_object(text, "snapshot")
        if values.pop("v", None) != VERSION:
            raise MessageError(f'this is no snapshot of version {VERSION}: expected "v": {VERSION}')
        known = {name: values[name] for name in cls.__slots__ if name in values}  # a newer IOC may say more
        geometry = known.pop("geometry", None)
        try:
            parsed = None if geometry is None else Geometry.parse(cast("dict[str, object]", geometry))
            return cls(geometry=parsed, **known)  # type: ignore[arg-type]  # checked by the server that wrote it
        except (TypeError, ValueError) as error:
            raise MessageError(f"this is no snapshot: {error}") from None
