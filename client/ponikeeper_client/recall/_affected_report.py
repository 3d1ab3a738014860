"""Print the runs that were recorded with a revision: `ponikeeper affected`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ponikeeper.errors import NoGeometryError, RefusedError
from ponikeeper.system.terminal import make_console, print_text
from ponikeeper.text.strictjson import dumps
from ponikeeper_client.recall._affected import Affected, SearchResult, Watch, affected


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which runs are searched; the fields are arguments of `affected`."""

    since: str | None = None
    until: str | None = None
    after: str | None = None
    every_run: bool = False


def print_affected(
    prefix: str, number: int, catalog: str, files: Sequence[str | Path], as_json: bool, bounds: Bounds | None = None
) -> None:
    """Print which runs of a catalog were recorded with a revision.

    At a terminal it is a table, with a progress bar on stderr. Elsewhere the uid of each run is printed as soon as it
    is found, each in a line, so that a search that was interrupted can be continued after the last one.

    Parameters
    ----------
    prefix, number
        PV prefix of the calibration, number of the revision.
    catalog
        As for `affected`.
    files
        Exported histories or mirrors to look in; without any the IOC is asked.
    as_json
        Print a JSON object instead.
    bounds
        Which runs are searched; if omitted, all.

    Raises
    ------
    RefusedError
        There is no such revision, or the files have several of that number.
    NotConnectedError
        The IOC or the catalog does not answer.
    """
    as_lines = not as_json and not sys.stdout.isatty()
    printer = _UidPrinter() if as_lines else None
    last = ""
    with _progress_bar() as show:

        def watch(result: SearchResult) -> None:
            nonlocal last
            last = result.last
            show(result)
            if printer is not None:
                printer.print_new(result)

        try:
            result = affected(
                catalog, prefix, number, history=list(files) or None, watch=watch, **asdict(bounds or Bounds())
            )
        except NoGeometryError as error:
            raise RefusedError(str(error)) from None
        except KeyboardInterrupt:
            if last:
                print_text(f"interrupted: --after {last} continues the search", to_stderr=True)
            raise
    if as_json:
        print_text(dumps(_as_dict(prefix, number, result)))
    elif not as_lines:
        _print_tables(prefix, number, result)
    for uid, why in () if as_json else result.unreadable:
        make_console(stderr=True).print(Text(f"run {uid} could not be read: {why}", style="bold red"), soft_wrap=True)


class _UidPrinter:
    """Prints the uid of each affected run once, as soon as it is found."""

    def __init__(self) -> None:
        self._count, self._last = 0, ""

    def print_new(self, result: SearchResult) -> None:
        for row in result.affected[self._count :]:
            if row.run_uid != self._last:
                print_text(row.run_uid)
            self._last = row.run_uid
        self._count = len(result.affected)


@contextmanager
def _progress_bar() -> Iterator[Watch]:
    """Return a context that shows on stderr how many runs were read, if that is a terminal."""
    console = make_console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("runs, {task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("the catalog is asked", total=None)

        def show(result: SearchResult) -> None:
            found = f"{len(result.affected)} matches"
            progress.update(task, completed=result.runs, total=result.total, description=found)

        yield show


def _as_dict(prefix: str, number: int, result: SearchResult) -> dict[str, object]:
    return {
        "prefix": prefix,
        "revision": number,
        "runs": result.runs,
        "every_run": result.every_run,
        "affected": [one.as_dict() for one in result.affected],
        "same_number_other_uid": [one.as_dict() for one in result.others] if result.every_run else None,
        "unreadable": [{"run_uid": uid, "why": why} for uid, why in result.unreadable],
    }


def _print_tables(prefix: str, number: int, result: SearchResult) -> None:
    out = make_console()
    count = len({one.run_uid for one in result.affected})
    of = f" of {result.runs}" if result.every_run else ""
    out.print(Text(f"{count}{of} runs have revision {number} of {prefix}"), soft_wrap=True)
    if result.affected:
        out.print(_table(result.affected))
    if result.others:
        remark = (
            f"not affected: another geometry had the number {number} there, before the store was created again or after"
        )
        out.print(Text(remark), soft_wrap=True)
        out.print(_table(result.others))


def _table(rows: Sequence[Affected]) -> Table:
    table = Table()
    for name in ("run", "scan", "began", "detector", "stream", "events", "now"):
        table.add_column(name, overflow="fold")
    for row in rows:
        scan = "" if row.scan_id is None else str(row.scan_id)
        record = row.recorded
        cells = (row.run_uid, scan, row.time, record.detector, record.stream, row.events_text(), row.known_text())
        table.add_row(*map(Text, cells))
    return table
