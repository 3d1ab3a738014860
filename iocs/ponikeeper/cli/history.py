"""The commands that list and compare revisions: history, diff."""

from typing import Annotated

import typer

from ponikeeper.cli import rendering
from ponikeeper.cli.console import AsJson, Prefix, ca_history, out, print_text, run_ca
from ponikeeper.cli.rendering import history_tree, tree_width
from ponikeeper.protocol.text_tables import revision_entry
from ponikeeper.text.strictjson import dumps


def history(
    prefix: Prefix,
    around: Annotated[int, typer.Option(help="list the revisions around this number; 0 is the active one")] = 0,
    tree: Annotated[bool, typer.Option("--tree", help="show which revision superseded which, and why")] = False,
    as_json: AsJson = False,
) -> None:
    """List the revisions, newest first: ponikeeper history 'XF:28ID1-ES{Det:PE1}Calib:' --tree."""
    revisions, corrections, active = run_ca(ca_history().read_around(prefix, around))
    rows = [revision_entry(revision, corrections) for revision in reversed(revisions)]
    if as_json:
        print_text(dumps({"v": 1, "revisions": rows}))
    elif tree:
        by_revision = {
            revision.number: [item.as_dict() for item in corrections if item.revision == revision.number]
            for revision in revisions
        }
        rendered = history_tree(prefix, rows, by_revision, active)
        out.width = max(out.width, tree_width(rendered))
        out.print(rendered)
    else:
        out.print(rendering.history_table(prefix, rows))


def diff(prefix: Prefix, first: int, second: int, as_json: AsJson = False) -> None:
    """Compare two revisions: ponikeeper diff 'XF:28ID1-ES{Det:PE1}Calib:' 12 13."""
    one, other = (revision.as_dict() for revision in run_ca(ca_history().read_revisions(prefix, first, second)))
    if as_json:
        print_text(dumps([one, other]))
    else:
        out.print(rendering.diff_table(prefix, one, other))
