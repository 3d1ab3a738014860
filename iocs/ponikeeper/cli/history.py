"""The commands that list and compare revisions: history, diff."""

from typing import Annotated

import typer

from ponikeeper.cli import rendering
from ponikeeper.cli.console import AsJson, Prefix, emit, out, over_ca, revisions
from ponikeeper.cli.history_tree import history_tree, room
from ponikeeper.protocol.text_tables import listed
from ponikeeper.text.strictjson import dumps


def history(
    prefix: Prefix,
    around: Annotated[int, typer.Option(help="the revision to look around; 0 is the one in force")] = 0,
    tree: Annotated[bool, typer.Option("--tree", help="show what superseded what, and why")] = False,
    as_json: AsJson = False,
) -> None:
    """List the revisions, newest first: ponikeeper history 'XF:28ID1-ES{Det:PE1}Calib:' --tree."""
    found, corrections, in_force = over_ca(revisions().read_around(prefix, around))
    rows = [listed(revision, corrections) for revision in reversed(found)]
    if as_json:
        emit(dumps({"v": 1, "revisions": rows}))
    elif tree:
        told = {
            revision.number: [item.as_dict() for item in corrections if item.revision == revision.number]
            for revision in found
        }
        shown = history_tree(prefix, rows, told, in_force)
        out.width = max(out.width, room(shown))
        out.print(shown)
    else:
        out.print(rendering.history_table(prefix, rows))


def diff(prefix: Prefix, first: int, second: int, as_json: AsJson = False) -> None:
    """Compare two revisions: ponikeeper diff 'XF:28ID1-ES{Det:PE1}Calib:' 12 13."""
    one, other = (revision.as_dict() for revision in over_ca(revisions().read_revisions(prefix, first, second)))
    if as_json:
        emit(dumps([one, other]))
    else:
        out.print(rendering.diff_table(prefix, one, other))
