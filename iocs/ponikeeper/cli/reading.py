"""The command that reads a geometry as a PONI: get."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli import selection
from ponikeeper.cli.console import AsJson, Prefix, ca_client, print_error, run_ca, write_output
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import poni
from ponikeeper.protocol import Snapshot, origin
from ponikeeper.text import timestamps, typed_times
from ponikeeper.text.strictjson import dumps


def get(
    prefix: Prefix,
    revision: Annotated[str | None, typer.Option(metavar="N", help="read this revision, without activating it")] = None,
    label: Annotated[
        str | None, typer.Option(help="read the newest revision with this label that is not corrected")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help=f"read the revision that was active then: {typed_times.EXPECTED}; a day with several is refused",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write; - or none is stdout")] = None,
    as_json: AsJson = False,
) -> None:
    """Get the active geometry, or an old one, as a PONI: ponikeeper get 'XF:28ID1-ES{Det:PE1}Calib:' -o pe1.poni.

    Comment lines of the PONI say which revision it is, its corrections, and whether it is active and applies.
    """
    selector = selection.parse_selector(revision, label, at, timestamps.now())
    snapshot, selected = run_ca(_read(prefix, selector))
    if selected is None:
        if snapshot.geometry is None:
            raise RefusedError(f"{prefix} is UNSET: {snapshot.reason}")
        text = snapshot.as_json() + "\n" if as_json else poni.write(snapshot.geometry, origin.snapshot_lines(snapshot))
    elif as_json:
        text = dumps(selection.as_json(selected, snapshot)) + "\n"
    else:
        text = poni.write(selected.revision.geometry, selection.comment_lines(selected, snapshot))
    write_output(output, text)
    if selected is not None:
        for line in selection.warnings(selected):
            print_error(line)


async def _read(prefix: str, selector: selection.Selector | None) -> tuple[Snapshot, selection.Selected | None]:
    """Read the snapshot, and the selected revision if one is selected."""
    snapshot = await ca_client().read_snapshot(prefix)
    return snapshot, None if selector is None else await selection.read_selected(prefix, selector)
