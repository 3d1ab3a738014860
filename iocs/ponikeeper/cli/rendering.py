"""Rendering of snapshots and revisions for a terminal: tables, the tree of the history, single lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ponikeeper.errors import PonikeeperError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import DEFAULTS, NAMES, PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history import Position
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.link_units import value_in
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import printable

_INDENT, _READABLE = 4, 50
"""Columns for one level of the tree, and at least for its text."""

_SHORTENED = ("label", "calibrant", "author")
"""Columns that are shortened in a narrow terminal."""

_STYLES = {"VALID": "bold green", "UNWATCHED": "bold", "MOVING": "bold yellow", "UNCERTAIN": "bold yellow"}

Answer = Snapshot | PonikeeperError
"""The snapshot of a detector, or why it cannot be read."""


def snapshot_table(snapshot: Snapshot) -> Table:
    """Return a table of the active geometry: status, values in SI and common units, position, provenance."""
    table = Table(title=Text(snapshot.prefix), title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("status", Text(snapshot.status, style=_style(snapshot.status)), Text(snapshot.reason))
    if snapshot.geometry is None:
        return table
    since = f"since {snapshot.activated}" if snapshot.activated else ""
    table.add_row(
        "revision", Text(f"{snapshot.revision}{_label(snapshot.label)}"), Text(f"serial {snapshot.serial}, {since}")
    )
    table.add_section()
    human = human_view(snapshot.geometry)
    for name in NAMES:
        table.add_row(name, Text(value_text(name, getattr(snapshot.geometry, name))), Text(human.get(name, "")))
    table.add_row("detector_config", Text(str(snapshot.geometry.as_dict()["detector_config"])), "")
    table.add_section()
    table.add_row("position", Text(_position_text(snapshot.position)), "")
    for key, value in snapshot.provenance.items():
        table.add_row(key, Text(provenance_text(key, value)), "")
    return table


def status_lines(answers: Mapping[str, Answer]) -> list[Text]:
    """Return one line for each detector, with the status of its geometry, in aligned columns."""
    rows = [(Text(prefix), *_status_cells(answer)) for prefix, answer in answers.items()]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    return [_align(row, widths) for row in rows]


def _status_cells(answer: Answer) -> tuple[Text, Text, Text, Text]:
    if not isinstance(answer, Snapshot):
        return Text("no answer", style="bold red"), Text("-"), Text("-"), Text(in_one_line(str(answer)))
    since = f"since {timestamps.to_seconds(answer.activated)}" if answer.activated else "-"
    revision = f"{answer.revision}{_label(answer.label)}" if answer.revision else "-"
    return (
        Text(answer.status, style=_style(answer.status)),
        Text(revision),
        Text(since),
        Text(in_one_line(answer.reason)),
    )


def _align(row: Sequence[Text], widths: Sequence[int]) -> Text:
    for cell, width in zip(row, widths, strict=True):
        cell.pad_right(width - cell.cell_len)
    line = Text("  ").join(row)
    line.rstrip()
    return line


def history_table(prefix: str, rows: Sequence[Mapping[str, Any]], active: int) -> Table:
    """Return a table of revisions, newest first, with a column for corrections if there are any.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    rows
        The revisions, newest first, each with the correction that applies now (key ``judgement``), or None.
    active
        Number of the active revision, which is marked by ``*``.
    """
    table = Table(title=Text(f"history of {prefix}"), title_justify="left", box=None, padding=(0, 1, 0, 0))
    corrected = any(row.get("judgement") or row.get("undone") for row in rows)
    dist, wavelength = DISPLAY_UNITS["dist"], DISPLAY_UNITS["wavelength"]
    names = (
        "rev",
        "created (UTC)",
        "label",
        "method",
        "calibrant",
        f"dist/{dist.unit}",
        wavelength.unit,
        "px",
        "author",
    )
    for name in (*names, *(["corrected"] if corrected else [])):
        table.add_column(name, no_wrap=name not in _SHORTENED, justify="right" if name == "rev" else "left")
    for row in rows:
        number = f"{'*' * (row['revision'] == active)}{row['revision']}"
        cells = (number, timestamps.to_minutes(row["created"]), row["label"], row["method"], row["calibrant"])
        residual = row["residual_px"]
        cells += (
            dist.short(row["dist"]),
            wavelength.short(row["wavelength"]),
            residual and f"{residual:.2g}",
            row["author"],
        )
        mark = _correction_mark(row.get("judgement")) or "undone" * bool(row.get("undone"))
        texts = ("" if cell is None else str(cell) for cell in (*cells, *([mark] if corrected else [])))
        style = "dim" if mark else "bold" if row["revision"] == active else ""
        table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis", style=style) for text in texts))
    return table


def _correction_mark(correction: Mapping[str, Any] | None) -> str:
    """Return a short text for the correction of a revision."""
    if correction is None:
        return ""
    return "retracted" if correction["by"] is None else f"by {correction['by']}"


def history_tree(
    prefix: str,
    rows: Sequence[Mapping[str, Any]],
    corrections: Mapping[int, Sequence[Mapping[str, Any]]],
    active: int,
) -> Tree:
    """Return a tree of revisions, newest first, each under the one that replaces it now.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    rows
        The revisions, newest first, each with the correction that applies now (key ``judgement``), or None.
    corrections
        All corrections, by the number of the corrected revision; those that do not apply now are also listed
        under the revision that they name as right.
    active
        Number of the active revision.
    """
    tree = Tree(Text(f"history of {prefix}"))
    nodes = {row["revision"]: Tree(_revision_text(row, corrections.get(row["revision"], ()), active)) for row in rows}
    for row in rows:
        replacement = row["judgement"] and row["judgement"]["by"]
        nodes.get(replacement, tree).children.append(nodes[row["revision"]])
    for row in rows:
        decides = row["judgement"] and row["judgement"]["number"]
        for correction in corrections.get(row["revision"], ()):
            if correction["number"] != decides and correction["by"] in nodes:
                nodes[correction["by"]].add(_correction_line(row, correction))
    return tree


def tree_width(tree: Tree) -> int:
    """Return the width of the terminal that a tree needs (columns)."""
    return _depth(tree) * _INDENT + _READABLE


def _depth(tree: Tree) -> int:
    level, depth = tree.children, 0
    while level:
        level, depth = [child for node in level for child in node.children], depth + 1
    return depth


def _revision_text(row: Mapping[str, Any], corrections: Sequence[Mapping[str, Any]], active: int) -> Text:
    """Return the text of a revision, followed by one line for each of its corrections."""
    wrong = row["judgement"] is not None
    text = Text(_revision_name(row), style="dim" if wrong else "")
    text.append(f" {timestamps.to_minutes(row['created'])}")
    text.append("".join(f" {row[key]}" for key in ("method", "calibrant") if row[key]))
    if row.get("undone"):
        text.append(" undone", style="red")
    if row["revision"] == active:
        text.append(" active", style="bold red" if wrong else "bold green")
    for correction in corrections:
        what = "retracted" if correction["by"] is None else f"superseded by revision {correction['by']}"
        text.append(f"\n{what}{_reason(correction)}", style="red")
    return text


def _correction_line(row: Mapping[str, Any], correction: Mapping[str, Any]) -> Text:
    """Return the line about a revision that this one replaces for a period, or replaced until a later correction."""
    return Text(f"{_revision_name(row)} superseded{_reason(correction)}", style="dim")


def _revision_name(row: Mapping[str, Any]) -> str:
    return f"{row['revision']} ({row['label']})" if row["label"] else str(row["revision"])


def _reason(correction: Mapping[str, Any]) -> str:
    when = period(correction["since"], correction["until"])
    return f"{when and f' {when}'}: {in_one_line(correction['reason'])} ({correction['author']})"


def diff_table(prefix: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Table:
    """Return a table of the differences between two revisions."""
    table = Table(title=Text(f"{prefix} revision {one['revision']} and {other['revision']}"), title_justify="left")
    table.add_column("")
    table.add_column(f"revision {one['revision']}", overflow="fold")
    table.add_column(f"revision {other['revision']}", overflow="fold")
    table.add_column("difference", justify="right")
    for part in ("geometry", "provenance"):
        for key in dict.fromkeys((*one[part], *other[part])):
            old, new = (each[part].get(key, DEFAULTS.get(key)) for each in (one, other))
            if old != new:
                change = f"{new - old:+.6g} {PARAMETERS[key].unit}" if key in PARAMETERS else ""
                text = value_text if part == "geometry" else provenance_text
                table.add_row(key, Text(text(key, old)), Text(text(key, new)), change)
    for key in ("label", "created"):
        if one[key] != other[key]:
            table.add_row(key, Text(value_text(key, one[key])), Text(value_text(key, other[key])), "")
    for row in _position_differences(one["position"], other["position"]):
        table.add_row(*map(Text, row))
    return table


def _position_differences(one: Position | None, other: Position | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield the links whose recorded values differ, with the difference in the units of the second position."""
    if one is None or other is None:
        if one is not other:
            yield "position", _position_text(one), _position_text(other), ""
        return
    for name in dict.fromkeys((*one, *other)):
        old, new = one.get(name), other.get(name)
        if old != new:
            yield (f"position {name}", _place_text(old), _place_text(new), _place_difference(old, new))


def _position_text(position: Position | None) -> str:
    if position is None:
        return "never recorded"
    return ", ".join(f"{name} {_place_text(item)}" for name, item in position.items()) or "no links"


def _place_text(item: Mapping[str, Any] | None) -> str:
    return "-" if item is None else f"{item['value']!r} {item['units']}".rstrip()


def _place_difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    if old is None or new is None:
        return ""
    before = value_in(old["value"], old["units"], new["units"])
    return "" if before is None else f"{new['value'] - before:+.6g} {new['units']}".rstrip()


def one_line(snapshot: Snapshot) -> str:
    """Return a snapshot as one line, as ``watch`` prints it."""
    reason = f": {in_one_line(snapshot.reason)}" if snapshot.reason else ""
    if snapshot.geometry is None:
        return f"{snapshot.prefix} {snapshot.status}{reason}"
    distance = DISPLAY_UNITS["dist"].text(snapshot.geometry.dist)
    return (
        f"{snapshot.activated} {snapshot.prefix} {snapshot.status} serial {snapshot.serial} "
        f"revision {snapshot.revision}{_label(snapshot.label)} dist {distance}{reason}"
    )


def period(since: str | None, until: str | None) -> str:
    """Return the text of a period; empty for all time."""
    if since is None:
        return "" if until is None else f"before {timestamps.shortest(until)}"
    return (
        f"from {timestamps.shortest(since)} on"
        if until is None
        else f"from {timestamps.shortest(since)} to {timestamps.shortest(until)}"
    )


def in_one_line(text: str) -> str:
    """Return a text as one line; what a terminal would obey is escaped."""
    return " ".join(printable(text).split())


def value_text(name: str, value: object) -> str:
    """Return a value with its unit."""
    if value is None:
        return "-"
    return f"{value!r} {PARAMETERS[name].unit}" if name in PARAMETERS else str(value)


def provenance_text(key: str, value: object) -> str:
    """Return a value of a provenance; of what has many numbers only what it is, the JSON output has it."""
    if value is None:
        return "-"
    if key == "sigma":
        deviations = cast("Mapping[str, float]", value)
        return ", ".join(f"{name} {size:.3g} {PARAMETERS[name].unit}" for name, size in deviations.items())
    if key == "covariance":
        return f"of {', '.join(map(str, cast('Mapping[str, Sequence[str]]', value)['names']))}"
    if key == "model":
        return _summary(cast("Mapping[str, Any]", value))
    return str(value)


def _summary(model: Mapping[str, Any]) -> str:
    """Return the links and the members of a model."""
    members = [str(member["revision"]) for member in model["fit"].get("members", [])]
    fitted = f", fitted to revisions {', '.join(members)}" if members else ""
    return f"a function of {', '.join(model['reference'])}{fitted}"


def human_view(geometry: Geometry) -> dict[str, str]:
    """Return the geometry in common units, by the names of the values that each text belongs to."""
    units = DISPLAY_UNITS
    view = {"wavelength": f"{units['wavelength'].text(geometry.wavelength)}, {units['energy'].text(geometry.energy)}"}
    fit2d = geometry.fit2d
    if fit2d is not None:
        texts = {name: f"{units[name].fixed(value)} {units[name].unit}" for name, value in asdict(fit2d).items()}
        view["dist"] = f"{texts['direct_dist']} to the beam spot"
        view["poni1"] = f"beam centre y {texts['beam_y']}"
        view["poni2"] = f"beam centre x {texts['beam_x']}"
        view["rot1"] = f"tilt {texts['tilt']} in plane {texts['tilt_plane']}"
    return view


def _style(status: str) -> str:
    return _STYLES.get(status, "bold red")


def _label(label: str | None) -> str:
    return f" ({label})" if label else ""
