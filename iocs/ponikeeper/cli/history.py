"""The commands that list and compare revisions: history, diff."""

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.tree import Tree

from ponikeeper.cli import rendering
from ponikeeper.cli.console import AsJson, Prefix, ca_client, ca_history, err, out, print_text, run_ca
from ponikeeper.cli.rendering import history_tree, tree_width
from ponikeeper.errors import ConfigError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.history import Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.history.labels import label_of, with_label
from ponikeeper.history.typed_numbers import revision_number
from ponikeeper.protocol import Snapshot, history_reading
from ponikeeper.protocol.history_reading import Listing
from ponikeeper.protocol.text_tables import revision_entry
from ponikeeper.text.strictjson import dumps, plain

_PROVENANCE = ("method", "calibrant", "residual_px", "author", "comment")
"""Columns of the CSV that are keys of the provenance."""

_CSV_COLUMNS = (
    "revision", "active", "created", "label", *NAMES, "detector_config", "position", *_PROVENANCE,
    "correction", "replaced_by", "reason", "undone",
)  # fmt: skip

_Number = Annotated[str, typer.Argument(help="number of a revision")]


def history(
    prefix: Prefix,
    around: Annotated[
        int | None, typer.Option(help="list the revisions around this number; if omitted, around the active one")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="list all revisions")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="show which revision superseded which, and why")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="print comma-separated values, all of the geometry (m, rad)")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the revisions, newest first: ponikeeper history 'XF:28ID1-ES{Det:PE1}Calib:' --tree.

    The active revision is marked by * (in CSV: yes, in JSON: the key active). Times are UTC. A revision is undone if
    every activation of it that was asked for was undone.
    """
    _require_one(tree=tree, csv=as_csv, json=as_json)
    if around and all_:
        raise ConfigError("--around and --all are given: give only one of them")
    snapshot, listing = run_ca(_read(prefix, None if all_ else around or 0))
    rows = [revision_entry(revision, listing.corrections, listing.undone) for revision in reversed(listing.revisions)]
    active, summary = snapshot.revision or 0, _summary(listing, snapshot)
    if as_json:
        print_text(dumps({"v": 1, "active": active, "count": listing.count, "revisions": rows}))
    elif as_csv:
        print_text(csv_text(listing, active).rstrip("\n"))
        if len(rows) < listing.count:
            err().print(summary, soft_wrap=True, highlight=False)
    else:
        if tree:
            rendered = _tree(prefix, rows, listing, active)
            out().width = max(out().width, tree_width(rendered))
        else:
            rendered = rendering.history_table(prefix, rows, active)
        out().print(rendered)
        out().print(summary, soft_wrap=True, highlight=False)


def diff(prefix: Prefix, first: _Number, second: _Number, as_json: AsJson = False) -> None:
    """Compare two revisions: ponikeeper diff 'XF:28ID1-ES{Det:PE1}Calib:' 12 13."""
    revisions, labels = run_ca(ca_history().read_revisions(prefix, revision_number(first), revision_number(second)))
    if as_json:
        print_text(dumps([{**each.as_dict(), "label_now": label_of(each, labels)} for each in revisions]))
    else:
        one, other = (with_label(each, labels).as_dict() for each in revisions)
        out().print(rendering.diff_table(prefix, one, other))


def csv_text(listing: Listing, active: int) -> str:
    """Format revisions as comma-separated values, newest first, each float with all its digits.

    Parameters
    ----------
    listing
        The revisions.
    active
        Number of the active one.

    Returns
    -------
    str
        One line of names, then one line for each revision; position and detector_config as JSON.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    writer.writerows(_csv_row(each, listing, active) for each in reversed(listing.revisions))
    return text.getvalue()


def _csv_row(revision: Revision, listing: Listing, active: int) -> list[object]:
    values = revision.geometry.as_dict()
    correction = correction_of(listing.corrections, revision.number)
    row: dict[str, object] = {
        "revision": revision.number,
        "active": "yes" if revision.number == active else "no",
        "created": revision.created,
        "label": revision.label,
        **{name: values[name] for name in NAMES},
        "detector_config": dumps(values["detector_config"]),
        "position": None if revision.position is None else dumps(plain(revision.position)),
        **{key: revision.provenance.get(key) for key in _PROVENANCE},
        "correction": correction and ("retracted" if correction.by is None else "superseded"),
        "replaced_by": correction and correction.by,
        "reason": correction and correction.reason,
        "undone": "yes" if revision.number in listing.undone else "no",
    }
    return [row[column] for column in _CSV_COLUMNS]


def _tree(prefix: str, rows: Sequence[dict[str, object]], listing: Listing, active: int) -> Tree:
    by_revision = {
        revision.number: [item.as_dict() for item in listing.corrections if item.revision == revision.number]
        for revision in listing.revisions
    }
    return history_tree(prefix, rows, by_revision, active)


async def _read(prefix: str, around: int | None) -> tuple[Snapshot, Listing]:
    """Read the snapshot, and the revisions around one (0: the active one), or all of them."""
    snapshot = await ca_client().read_snapshot(prefix)
    if around:
        await ca_history().read(prefix, history_reading.revision(around))
    if around is None:
        steps: Any = history_reading.everything()
    else:
        steps = history_reading.around(around or snapshot.revision or 0)
    return snapshot, await ca_history().read(prefix, steps)


def _summary(listing: Listing, snapshot: Snapshot) -> str:
    """Report how many revisions there are, which of them are listed, and which one is active."""
    count, listed = listing.count, len(listing.revisions)
    if not count:
        return "no revisions: no geometry was ever committed"
    total, active = f"{count} revision{'s' * (count != 1)}", f"revision {snapshot.revision} is active"
    if listed == count:
        return f"{total}; {active}"
    shown = f"{listing.revisions[0].number} to {listing.revisions[-1].number}" if listed else "none"
    return f"{shown} of {total}; {active}; --all lists all"


def _require_one(**given: bool) -> None:
    """Check that at most one form of output is requested; raises `ConfigError`."""
    names = [f"--{name}" for name, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} are given: give only one of them")
