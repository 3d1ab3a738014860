"""The geometry that a model gave for a position: the record of what was active. Pure.

The revision of a model has the model itself. What the IOC computes with it can differ in the last bit from what
another machine computes, so the computed values are stored, and are the record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from ponikeeper.geometry import Geometry
from ponikeeper.history.record_form import Position, Row, checked_name, verify
from ponikeeper.history.revision import Revision, geometry_of
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class DerivedGeometry:
    """The geometry that the model of `revision` gave for a position, active with the activation `serial`.

    Parameters
    ----------
    number
        Counts the derived geometries of a detector from 1.
    serial
        Serial of the activation.
    revision
        Number of the revision that is the model.
    geometry
        The computed values (m, rad).
    position
        Readbacks of the linked PVs for which they were computed.
    certainty
        How sure they are: the keys ``sigma``, ``covariance``, ``accuracy_deg`` and ``uncertainty_px`` of a provenance.
    """

    name: ClassVar[tuple[str, str]] = ("derived", "number")
    number: int
    serial: int
    revision: int
    geometry: Geometry
    position: Position
    certainty: Mapping[str, object]

    def row(self) -> Row:
        """Return the values that the checksum covers.

        Returns
        -------
        tuple
            All values, in the order of the store's columns; geometry, position and certainty as canonical JSON texts.
        """
        texts = (self.geometry.as_stored(), strictjson.plain(self.position), strictjson.plain(self.certainty))
        return (self.number, self.serial, self.revision, *map(strictjson.canonical, texts))

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object.

        Returns
        -------
        dict
            Plain JSON values by the names of the parameters, without the checksum.
        """
        return {
            "number": self.number,
            "serial": self.serial,
            "revision": self.revision,
            "geometry": self.geometry.as_stored(),
            "position": strictjson.plain(self.position),
            "certainty": strictjson.plain(self.certainty),
        }

    @classmethod
    def parse(cls, prefix: str, values: Mapping[str, object]) -> "DerivedGeometry":
        """Build a derived geometry from its JSON object, and verify the checksum.

        Parameters
        ----------
        prefix
            PV prefix of the detector, which the checksum covers.
        values
            The JSON object with its checksum.

        Returns
        -------
        DerivedGeometry
            The record.

        Raises
        ------
        HistoryError
            The object is invalid, or was changed after it was written.
        """
        name = checked_name("derived", "number", values)
        geometry = geometry_of(name, values)
        given = {key: value for key, value in values.items() if key not in ("geometry", "checksum")}
        record = cls(geometry=geometry, **given)  # type: ignore[arg-type]  # checked above
        verify(prefix, name, "derived", record.row(), values)
        return record


def with_derived(revision: Revision, derived: DerivedGeometry | None) -> Revision:
    """Return a revision as it was active: a model with the geometry that it gave for a position.

    Parameters
    ----------
    revision
        The revision.
    derived
        What its model gave; None where the revision itself was active.

    Returns
    -------
    Revision
        With geometry, position and certainty of `derived`; number, uid and checksum are those of the revision.
    """
    if derived is None:
        return revision
    provenance = {**revision.provenance, **cast("dict[str, object]", strictjson.plain(derived.certainty))}
    return replace(revision, geometry=derived.geometry, position=derived.position, provenance=provenance)


def derived_by_serial(records: Iterable[DerivedGeometry]) -> dict[int, DerivedGeometry]:
    """Return derived geometries by the serials of their activations."""
    return {record.serial: record for record in records}
