"""The commands for a history file: export history, verify."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_history, print_text, run_ca, write_output
from ponikeeper.errors import ConfigError, HistoryError
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.store import backup
from ponikeeper.text import timestamps
from ponikeeper.text.strictjson import dumps

export = typer.Typer(help="Write the history, or files for other programs of the site.", no_args_is_help=True)


@export.callback()
def _exports() -> None:
    """Group the exports under one command."""


@export.command()
def history(
    prefix: Prefix,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write; - or none is stdout")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole history of a detector: ponikeeper export history 'P:' -o pe1.jsonl."""
    records = run_ca(ca_history().read_all(prefix))
    exported = ExportedHistory.of(prefix, timestamps.from_datetime(timestamps.now()), records)
    data = history_file.write(exported)
    history_file.read(data)  # a file that could not be read back is not written
    if write_output(output, data.decode("ascii")):
        print_text(
            dumps(_summary(exported))
            if as_json
            else f"{output}: {history_file.format_counts(exported.counts())} of {prefix}"
        )


def verify(
    file: Annotated[Path, typer.Argument(help="a history file, a store (its IOC may run), or a backup of one")],
    as_json: AsJson = False,
) -> None:
    """Check that a history is complete and unchanged: ponikeeper verify pe1.jsonl, or ponikeeper.sqlite."""
    if _is_store(file):
        contents = backup.inspect(file)
        print_text(dumps(asdict(contents)) if as_json else f"{file}: OK, {store_summary(contents)}")
        return
    exported = read_history_file(file)
    counts = history_file.format_counts(exported.counts())
    print_text(
        dumps(_summary(exported))
        if as_json
        else f"{file}: OK, {counts} of {exported.prefixes[-1]}, exported {exported.exported}"
    )


def read_history_file(file: Path) -> ExportedHistory:
    """Read a history file; an error names the file."""
    try:
        return history_file.read(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected an exported history") from error
    except HistoryError as error:
        raise HistoryError(f"{file}: {problem}" for problem in error.problems) from None


def store_summary(contents: backup.Contents) -> str:
    """Return the content of a store as text, one line for each detector."""
    head = f"schema version {contents.version}, {len(contents.counts)} detector{'s' * (len(contents.counts) != 1)}"
    return "\n".join(
        [head, *(f"{history_file.format_counts(counts)} of {prefix}" for prefix, counts in contents.counts.items())]
    )


def _is_store(file: Path) -> bool:
    try:
        return backup.is_store(file)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected an exported history, or a store") from error


def _summary(exported: ExportedHistory) -> dict[str, object]:
    return {"prefix": exported.prefixes[-1], "exported": exported.exported, "counts": exported.counts()}
