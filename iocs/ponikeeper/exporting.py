"""The commands that take a history from one store to another: export, verify, import."""

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper import exported
from ponikeeper.console import AsJson, Prefix, emit, over_ca, revisions
from ponikeeper.errors import ConfigError, HistoryError, MissingExtraError, RefusedError
from ponikeeper.exported import ExportedHistory
from ponikeeper.records import KINDS
from ponikeeper.strictjson import dumps
from ponikeeper.wholefile import replace

export = typer.Typer(help="Write what the IOC keeps, or what its surroundings need, to files.", no_args_is_help=True)

ExportFile = Annotated[Path, typer.Argument(help="a file that was written by ponikeeper export history")]


@export.callback()
def _exports() -> None:
    """Have a command of its own for each thing that can be exported."""


@export.command()
def history(
    prefix: Prefix,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write; - or none is stdout")] = None,
    as_json: AsJson = False,
) -> None:
    """Write all that the IOC keeps of a detector: ponikeeper export history 'P:' -o pe1.jsonl."""
    parts = over_ca(revisions().read_all(prefix))
    found = ExportedHistory(prefix, _now(), *map(tuple, parts))
    data = exported.write(found)
    exported.read(data)  # nothing is called a history that could not be read back
    if output is None or str(output) == "-":
        sys.stdout.write(data.decode("ascii"))
        return
    replace(output, data)
    emit(dumps(_told(found)) if as_json else f"{output}: {exported.counted(found.counts())} of {prefix}")


def verify(file: ExportFile, as_json: AsJson = False) -> None:
    """Tell whether an exported history is whole and unchanged: ponikeeper verify pe1.jsonl."""
    found = _read(file)
    counts = exported.counted(found.counts())
    emit(dumps(_told(found)) if as_json else f"{file}: OK, {counts} of {found.prefix}, exported {found.exported}")


def import_(
    config: Annotated[Path, typer.Argument(help="the configuration (TOML) of an IOC that does not run")],
    file: ExportFile,
    as_json: AsJson = False,
) -> None:
    """Bring an exported history into a store: ponikeeper import /etc/ponikeeper/28id1.toml pe1.jsonl."""
    try:
        from ponikeeper.config import load
        from ponikeeper.history import History
    except ModuleNotFoundError as error:
        raise MissingExtraError("ioc", error.name or "pydantic") from error
    loaded, found = load(config), _read(file)
    prefixes = [detector.prefix for detector in loaded.detector]
    if found.prefix not in prefixes:
        raise ConfigError(f"{file} is the history of {found.prefix}: expected one of {' '.join(prefixes)} ({config})")
    with contextlib.closing(History(loaded.store)) as store:
        kept = ExportedHistory(found.prefix, _now(), *(tuple(store.records(found.prefix, kind)) for kind in KINDS))  # type: ignore[arg-type]
        try:
            new = exported.added(kept, found)
        except RefusedError as error:
            raise RefusedError(f"{file}: {error}; {loaded.store} stays as it is") from None
        records = [record for part in new.by_kind().values() for record in part]
        if records:
            store.add(found.prefix, records, _now(), "import")
    if as_json:
        emit(dumps({"prefix": found.prefix, "store": str(loaded.store), "had": kept.counts(), "added": new.counts()}))
    elif records:
        emit(f"{file}: {exported.counted(new.counts())} of {found.prefix} added to {loaded.store}")
    else:
        emit(f"{file}: nothing to do, {loaded.store} has all of it: {exported.counted(kept.counts())} of {kept.prefix}")


def _read(file: Path) -> ExportedHistory:
    """Read an exported history; an error names the file."""
    try:
        return exported.read(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected an exported history") from error
    except HistoryError as error:
        raise HistoryError(f"{file}: {problem}" for problem in error.problems) from None


def _told(found: ExportedHistory) -> dict[str, object]:
    return {"prefix": found.prefix, "exported": found.exported, "counts": found.counts()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
