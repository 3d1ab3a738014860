"""Where a geometry comes from and whether it applies, as lines for people: the comments of a PONI file. Pure."""

from collections.abc import Mapping, Sequence
from typing import cast

from ponikeeper.geometry.files import Files, files_of
from ponikeeper.history import Correction, Position, Revision
from ponikeeper.history.corrections import chain, correction_text
from ponikeeper.protocol.integration import integration_of, integration_text
from ponikeeper.protocol.model_revisions import Source, is_model
from ponikeeper.protocol.snapshot import Snapshot

_PROVENANCE = ("author", "method", "calibrant", "residual_px", "run_uid", "derived_from", "comment")
"""The keys of the provenance that are shown, in this order."""


def is_edited(source: Source) -> bool:
    """Return whether values of another revision were changed by hand, so that the geometry was not calibrated.

    Parameters
    ----------
    source
        A revision, or the snapshot of an active one.

    Returns
    -------
    bool
    """
    return "derived_from" in source.provenance and source.provenance.get("method") == "manual"


def snapshot_lines(snapshot: Snapshot) -> list[str]:
    """Describe the active geometry.

    Parameters
    ----------
    snapshot
        With a geometry.

    Returns
    -------
    list of str
        Revision, since when it is active, provenance, position, status with its reason.
    """
    return [
        f"revision {snapshot.revision}{_label(snapshot.label)} of {snapshot.prefix}, uid {snapshot.uid}",
        f"active since {snapshot.activated} (serial {snapshot.serial})",
        *_provenance_lines(snapshot.provenance),
        *_model_lines(snapshot, snapshot.position),
        position_line(snapshot.position),
        status_line(snapshot),
    ]


def revision_lines(
    prefix: str, revision: Revision, corrections: Sequence[Correction], instant: str | None
) -> list[str]:
    """Describe a revision of the history.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    revision
        The revision.
    corrections
        All of the detector, in their order.
    instant
        The time for which the revision is used, UTC ISO 8601; None is now.

    Returns
    -------
    list of str
        Revision, when it was created, provenance, position, its corrections.
    """
    return [
        f"revision {revision.number}{_label(revision.label)} of {prefix}, uid {revision.uid}",
        f"created {revision.created}",
        *_provenance_lines(revision.provenance),
        *_model_lines(revision, revision.position),
        position_line(revision.position),
        *correction_lines(revision.number, corrections, instant),
    ]


def correction_lines(revision: int, corrections: Sequence[Correction], instant: str | None) -> list[str]:
    """List the corrections of a revision, and what they mean.

    Parameters
    ----------
    revision
        Number of the revision.
    corrections
        All of the detector, in their order.
    instant
        The time for which the revision is used, UTC ISO 8601; None is now.

    Returns
    -------
    list of str
        A line for each correction of the revision and of those that replace it; the last line says whether the
        revision is right.
    """
    path = chain(corrections, revision, instant)
    own = [item for item in corrections if item.revision == revision]
    lines = [correction_text(item) for item in (*own, *(step for step in path if step not in own))]
    when = "now" if instant is None else f"for {instant}"
    if not own:
        return ["corrections: none"]
    if not path:
        return [*lines, f"revision {revision} is right {when}"]
    right = path[-1].by
    return [*lines, f"WRONG {when}: " + ("no revision replaces it" if right is None else f"revision {right} is right")]


def position_line(position: Position | None) -> str:
    """Format the position for which a geometry was calibrated."""
    if position is None:
        return "position: never recorded"
    return f"position: {', '.join(f'{name} {_quantity(item)}' for name, item in position.items()) or 'no links'}"


def status_line(snapshot: Snapshot) -> str:
    """Format the status of the active geometry with its reason."""
    return f"status: {snapshot.status}" + (f": {snapshot.reason}" if snapshot.reason else "")


def _quantity(item: Mapping[str, object]) -> str:
    return f"{item.get('value')} {item.get('units') or ''}".strip()


def _provenance_lines(provenance: Mapping[str, object]) -> list[str]:
    lines = [f"{key}: {provenance[key]}" for key in _PROVENANCE if provenance.get(key) is not None]
    return [*lines, *certainty_lines(provenance), *reduction_lines(files_of(provenance), integration_of(provenance))]


def _model_lines(revision: Source, position: Position | None) -> list[str]:
    if not is_model(revision):
        return []
    from ponikeeper.protocol.models import model_of, model_text  # takes longer to load than the rest of this module

    model = model_of(revision)
    return [] if model is None else [f"model: {model_text(model, position)}"]


def certainty_lines(provenance: Mapping[str, object]) -> list[str]:
    """Format how sure a fitted geometry is.

    Parameters
    ----------
    provenance
        The keys ``accuracy_deg``, ``valid_within``, ``preferred_wavelength`` and ``covariance`` are shown.

    Returns
    -------
    list of str
        A line for each key that is there.
    """
    lines: list[str] = []
    if isinstance(accuracy := provenance.get("accuracy_deg"), int | float):
        lines.append(f"accuracy: {accuracy:.3g} deg, largest standard deviation of 2 theta on the panel")
    if isinstance(circle := provenance.get("valid_within"), Mapping):
        lines.append(f"valid {circle_text(cast('Mapping[str, float]', circle))}")
    if isinstance(preferred := provenance.get("preferred_wavelength"), Mapping):
        wavelength = cast("Mapping[str, float]", preferred)
        lines.append(
            f"the rings prefer a wavelength of {wavelength['wavelength']:.6g} m +- {wavelength['sigma']:.2g} m"
        )
    if isinstance(covariance := provenance.get("covariance"), Mapping):
        record = cast("Mapping[str, Sequence[object]]", covariance)
        numbers = " ".join(f"{cast('float', number):.6g}" for number in record["lower"])
        names = " ".join(str(name) for name in record["names"])
        lines.append(f"covariance of {names} (m, rad; lower triangle, row by row): {numbers}")
    return lines


def circle_text(circle: Mapping[str, float]) -> str:
    """Format the part of a detector in which a geometry is valid.

    Parameters
    ----------
    circle
        Centre ``y``, ``x`` along axes 1 and 2, and ``radius`` (m).

    Returns
    -------
    str
        Such as ``within radius 38.1 mm of the point 101.2, 99.8 mm of the detector (axes 1, 2)``.
    """
    y, x, radius = (1e3 * circle[name] for name in ("y", "x", "radius"))
    return f"within radius {radius:.1f} mm of the point {y:.1f}, {x:.1f} mm of the detector (axes 1, 2)"


def reduction_lines(files: Files, integration: Mapping[str, object] | None) -> list[str]:
    """Format path and SHA-256 of each file that belongs to a geometry, and the settings of its integration."""
    lines = [f"file {name}: {entry['path']}, sha256 {entry['sha256']}" for name, entry in files.items()]
    return lines if integration is None else [*lines, f"integration: {integration_text(integration)}"]


def _label(label: str | None) -> str:
    return f" ({label})" if label else ""
