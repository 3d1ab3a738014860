"""The snapshot: everything that is active on one detector, as one text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Position
from ponikeeper.protocol.assumed_errors import DEFAULT_ERRORS, AssumedErrors
from ponikeeper.protocol.json_text import VERSION, read_object
from ponikeeper.protocol.links import LinkState, link_rows, links_of
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is active on one detector at one time; `ponikeeper.detector.state` builds it.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    status, reason
        Name of the status, and why.
    serial, revision
        Numbers of the activation and of the active revision; 0 where the status is UNSET.
    uid, checksum, label
        Of the active revision.
    activated
        Time of the activation, UTC ISO 8601.
    geometry
        None where the status is UNSET.
    position
        Values of the links at the calibration; None where they were never recorded.
    provenance
        Where the revision comes from.
    findings
        Every reason against the revision as status and link (empty where it is about the revision itself), the one
        that decides the status first. `reason` has their texts.
    link_states
        The links when the status was decided; None where they are not known, or do not fit.
    assumed
        The errors that a fit of this detector assumes, by the configuration of the IOC.
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
    findings: tuple[tuple[str, str], ...] = ()
    link_states: tuple[LinkState, ...] | None = None
    assumed: AssumedErrors = DEFAULT_ERRORS

    def as_json(self) -> str:
        """Format the text of ``Snapshot_RBV``.

        Returns
        -------
        str
            JSON, which `from_json` parses.
        """
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
                "findings": self.finding_rows(),
                "link_states": None if self.link_states is None else link_rows(self.link_states),
                "assumed": self.assumed.as_dict(),
            }
        )

    def finding_rows(self) -> list[dict[str, object]]:
        """Return the JSON objects of the findings.

        Returns
        -------
        list of dict
            Each with ``status`` and ``link``.
        """
        return [{"status": status, "link": link} for status, link in self.findings]

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        """Parse the text of ``Snapshot_RBV``.

        Parameters
        ----------
        text
            JSON.

        Returns
        -------
        Snapshot
            The snapshot.

        Raises
        ------
        MessageError
            The text is not a snapshot of version 1.
        """
        values = read_object(text, "snapshot")
        if values.pop("v", None) != VERSION:
            raise MessageError(f'this is not a snapshot of version {VERSION}: expected "v": {VERSION}')
        known = {name: values[name] for name in cls.__slots__ if name in values}  # a newer IOC may have more keys
        geometry, rows = known.pop("geometry", None), known.pop("link_states", None)
        findings = cast("list[dict[str, str]]", known.pop("findings", []))
        assumed = AssumedErrors.parse(known.pop("assumed", None))
        try:
            return cls(
                geometry=None if geometry is None else Geometry.parse(cast("dict[str, object]", geometry)),
                findings=tuple((finding["status"], finding["link"]) for finding in findings),
                link_states=None if rows is None else links_of(rows),
                assumed=assumed,
                **known,  # type: ignore[arg-type]  # checked by the server that wrote it
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MessageError(f"this is not a snapshot: {error}") from None
