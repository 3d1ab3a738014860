"""Revisions and links as lists and tables, for programs and for screens. Pure."""

from collections.abc import Collection, Sequence

from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.protocol.links import LinkState
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import to_ascii

_ROWS = 20
"""Number of revisions in a table, as many as fit a screen."""

_DIST, _ENERGY = DISPLAY_UNITS["dist"], DISPLAY_UNITS["energy"]

_HEAD = ("", "rev", "created (UTC)", "label", f"dist/{_DIST.unit}", _ENERGY.unit, "calibrant", "px", "author",
    "corrected")  # fmt: skip
_LABEL, _CALIBRANT, _AUTHOR = 12, 10, 18
"""Maximum lengths of texts in a table of revisions, which has to fit a screen."""

_SHORT = 80
"""Maximum length of a text in a list."""


def revision_entry(
    revision: Revision, corrections: Sequence[Correction], undone: Collection[int] = ()
) -> dict[str, object]:
    """Return the JSON object of a revision in a list, with the correction that decides on it now.

    Parameters
    ----------
    revision
        The revision.
    corrections
        All of the detector, in their order.
    undone
        Numbers of the revisions whose activations were all undone.

    Returns
    -------
    dict
        Plain JSON values.
    """
    provenance, correction = revision.provenance, correction_of(corrections, revision.number)
    return {
        "revision": revision.number,
        "created": revision.created,
        "label": revision.label,
        **{key: provenance.get(key) for key in ("method", "calibrant", "residual_px", "author")},
        **{key: getattr(revision.geometry, key) for key in ("dist", "poni1", "poni2", "wavelength", "detector")},
        "comment": to_ascii(str(provenance.get("comment", "")))[:_SHORT],
        "judgement": correction and {**correction.as_dict(), "reason": to_ascii(correction.reason)[:_SHORT]},
        "undone": revision.number in undone,
    }


def table_text(
    revisions: Sequence[Revision],
    corrections: Sequence[Correction],
    selected: int,
    active: int,
    undone: Collection[int] = (),
) -> str:
    """Format revisions as a table in lines of ASCII, newest first; ``>`` marks the selected one, ``*`` the active one.

    Parameters
    ----------
    revisions
        In their order.
    corrections
        All of the detector, in their order.
    selected, active
        Numbers of revisions; 0 is none.
    undone
        Numbers of the revisions whose activations were all undone.

    Returns
    -------
    str
        Lines with aligned columns, as wide as the values.
    """
    rows = [
        (
            ">" * (each.number == selected) + "*" * (each.number == active),
            str(each.number),
            timestamps.to_minutes(each.created),
            to_ascii(each.label or "")[:_LABEL],
            _DIST.fixed(each.geometry.dist),
            _ENERGY.fixed(each.geometry.energy),
            to_ascii(_provenance_text(each, "calibrant"))[:_CALIBRANT],
            _provenance_text(each, "residual_px", ".2f"),
            to_ascii(_provenance_text(each, "author"))[:_AUTHOR],
            _correction_text(correction_of(corrections, each.number)) or "undone" * (each.number in undone),
        )
        for each in reversed(revisions)
        if abs(each.number - selected) <= _ROWS // 2
    ]
    return _aligned([_HEAD, *rows], numeric={1, 4, 5, 7})


def links_text(links: Sequence[LinkState]) -> str:
    """Format the links of a detector as a table in lines of ASCII, as wide as its values.

    Parameters
    ----------
    links
        All links of the detector.

    Returns
    -------
    str
        Lines with aligned columns.
    """
    if not links:
        return "no links are configured: no PV is watched"
    rows = [
        ("link", "now", "calibrated", "units", "", "PV"),
        *(
            (each.name, _number(each.value), _number(each.calibrated), each.units, _link_status(each), each.pv)
            for each in links
        ),
    ]
    return _aligned(rows, numeric={1, 2})


def labels_text(revisions: Sequence[tuple[str, Revision]]) -> str:
    """Format what each label activates as a table in lines of ASCII, as wide as its values.

    Parameters
    ----------
    revisions
        Each label with the revision that it activates.

    Returns
    -------
    str
        Lines with aligned columns.
    """
    if not revisions:
        return "no revision has a label"
    rows = [
        ("label", "rev", f"dist/{_DIST.unit}", _ENERGY.unit, "created (UTC)"),
        *(
            (
                label,
                str(each.number),
                _DIST.fixed(each.geometry.dist),
                _ENERGY.fixed(each.geometry.energy),
                timestamps.to_minutes(each.created),
            )
            for label, each in revisions
        ),
    ]
    return _aligned(rows, numeric={1, 2, 3})


def compare_text(one: Revision, other: Revision) -> str:
    """Format the values of two revisions with their differences, in lines of ASCII.

    Parameters
    ----------
    one, other
        The revisions; differences are those of `one` minus `other`.

    Returns
    -------
    str
        Lines with aligned columns.
    """
    lines = [f"{'':<11} {f'revision {one.number}':>22} {f'revision {other.number}':>22} {'difference':>14}"]
    for name, parameter in PARAMETERS.items():
        mine, theirs = getattr(one.geometry, name), getattr(other.geometry, name)
        change = f"{mine - theirs:+.4g} {parameter.unit}" if mine != theirs else ""
        lines.append(f"{name:<11} {mine:>22.12g} {theirs:>22.12g} {change:>14}")
    texts = {
        "detector": (one.geometry.detector, other.geometry.detector),
        "label": (one.label or "", other.label or ""),
    }
    for key in ("method", "calibrant", "residual_px", "author"):
        texts[key] = (_provenance_text(one, key), _provenance_text(other, key))
    lines += [f"{name:<11} {mine[:22]:>22} {theirs[:22]:>22}" for name, (mine, theirs) in texts.items()]
    return to_ascii("\n".join(line.rstrip() for line in lines))


def _aligned(rows: Sequence[Sequence[str]], numeric: Collection[int]) -> str:
    """Format a table whose columns are as wide as their cells; numeric ones are aligned to the right."""
    cells = [[to_ascii(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        " ".join(
            cell.rjust(width) if place in numeric else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.8g}"


def _link_status(link: LinkState) -> str:
    """Return whether the geometry is valid as far as this link is concerned, in a word or two."""
    if link.out_of_service is not None:
        return "out of service"
    if link.moving and link.connected and link.value is not None:
        return "moving"
    if link.unknown_because is not None:
        return "disconnected" if link.error is None else "no value"
    return {True: "ok", False: "outside", None: "not recorded"}[link.within]


def _provenance_text(revision: Revision, key: str, form: str = "") -> str:
    value = revision.provenance.get(key)
    return "" if value is None else format(value, form) if isinstance(value, float) else str(value)


def _correction_text(correction: Correction | None) -> str:
    if correction is None:
        return ""
    return "retracted" if correction.by is None else f"superseded by {correction.by}"
