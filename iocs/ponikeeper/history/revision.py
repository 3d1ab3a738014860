"""One revision of a geometry, with its checksum. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ponikeeper.errors import GeometryError, HistoryError
from ponikeeper.geometry import Geometry
from ponikeeper.history.record_form import Position, Row, checked_name, verify
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class Revision:
    """One geometry with provenance, label and position; never changed, never deleted.

    Parameters
    ----------
    number
        Counts the revisions of a detector from 1.
    uid
        A UUID, unique among all detectors and stores.
    created
        Time of the commit, UTC ISO 8601.
    label
        Name for revisions, such as ``near``; None where it has none. A `LabelRecord` can replace it later.
    geometry
        The calibrated values (m, rad).
    position
        Readbacks of the linked PVs for which the geometry was calibrated; None where they are unknown.
    provenance
        Where it comes from; its keys are those of `ponikeeper.protocol.PROVENANCE`.
    checksum
        Covers the PV prefix of the detector and all other values; ``sha256:`` and 64 hexadecimal digits.
    """

    number: int
    uid: str
    created: str
    label: str | None
    geometry: Geometry
    position: Position | None
    provenance: dict[str, object]
    checksum: str

    def row(self) -> Row:
        """Return the values that the checksum covers.

        Returns
        -------
        tuple
            All values but the checksum, in the order of the store's columns; the geometry, position and provenance
            as canonical JSON texts.
        """
        return (
            self.number,
            self.uid,
            self.created,
            self.label,
            strictjson.canonical(self.geometry.as_stored()),
            strictjson.canonical(strictjson.plain(self.position)),
            strictjson.canonical(strictjson.plain(self.provenance)),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object, as the history PVs and the command line show it.

        Returns
        -------
        dict
            Plain JSON values with the checksum; ``revision`` is the number.
        """
        return {
            "revision": self.number,
            "uid": self.uid,
            "checksum": self.checksum,
            "created": self.created,
            "label": self.label,
            "geometry": self.geometry.as_stored(),
            "position": strictjson.plain(self.position),
            "provenance": strictjson.plain(self.provenance),
        }

    @classmethod
    def parse(cls, prefix: str, values: Mapping[str, object]) -> "Revision":
        """Build a revision from its JSON object, and verify the checksum.

        Parameters
        ----------
        prefix
            PV prefix of the detector, which the checksum covers.
        values
            The JSON object.

        Returns
        -------
        Revision
            The revision.

        Raises
        ------
        HistoryError
            The object is invalid, or was changed after it was written.
        """
        name = checked_name("revision", "revision", values)
        geometry = geometry_of(name, values)
        given = {key: value for key, value in values.items() if key not in ("revision", "geometry")}
        revision = cls(number=cast("int", values["revision"]), geometry=geometry, **given)  # type: ignore[arg-type]
        verify(prefix, name, "revision", revision.row(), values)
        return revision


def geometry_of(name: str, values: Mapping[str, object]) -> Geometry:
    """Build the geometry of a record.

    Parameters
    ----------
    name
        Of the record, for messages.
    values
        Its JSON object.

    Returns
    -------
    Geometry

    Raises
    ------
    HistoryError
        The geometry is invalid.
    """
    try:
        return Geometry.parse(cast("Mapping[str, object]", values["geometry"]))
    except GeometryError as error:
        raise HistoryError(f"{name}: {problem}" for problem in error.problems) from None
