"""Print the runs that were recorded with a revision: `ponikeeper affected`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ponikeeper.errors import NoGeometryError, RefusedError
from ponikeeper.text.strictjson import dumps
from ponikeeper_client.recall._affected import Affected, SearchResult, each_run, find_affected, open_catalog
from ponikeeper_client.recall._histories import FileHistory, History, read_histories, read_ioc

_TIMEOUT = 5.0


def print_affected(prefix: str, number: int, catalog: str, files: Sequence[Path], as_json: bool) -> None:
    """Print which runs of a catalog were recorded with a revision.

    Parameters
    ----------
    prefix, number
        PV prefix of the calibration, number of the revision.
    catalog
        As for `open_catalog`.
    files
        Exported histories to look in; without any the IOC is asked.
    as_json
        Print a JSON object instead of a table.

    Raises
    ------
    RefusedError
        There is no such revision, or the files have several of that number.
    NotConnectedError
        The IOC or the catalog does not answer.
    """
    history = _file_history(prefix, number, files) if files else read_ioc(prefix, _TIMEOUT)
    with open_catalog(catalog) as opened:
        try:
            result = find_affected(each_run(opened), prefix, number, history)
        except NoGeometryError as error:
            raise RefusedError(str(error)) from None
    if as_json:
        sys.stdout.write(dumps(_as_dict(prefix, number, result)) + "\n")
    else:
        _print_tables(prefix, number, result, history)


def _file_history(prefix: str, number: int, files: Sequence[Path]) -> History:
    histories = [FileHistory(exported) for exported in read_histories(files) if prefix in exported.prefixes]
    uids = {history: revision.uid for history in histories if (revision := history.revision(number)) is not None}
    if len(set(uids.values())) != 1:
        what = f"several geometries have the number {number}" if uids else f"there is no revision {number} of {prefix}"
        raise RefusedError(f"{what} in {', '.join(map(str, files))}: give only the export that has it with --history")
    return max(uids, key=lambda history: history.length)


def _as_dict(prefix: str, number: int, result: SearchResult) -> dict[str, object]:
    return {
        "prefix": prefix,
        "revision": number,
        "runs": result.runs,
        "affected": [affected.as_dict() for affected in result.affected],
        "same_number_other_uid": [affected.as_dict() for affected in result.others],
        "unreadable": [{"run_uid": uid, "why": why} for uid, why in result.unreadable],
    }


def _print_tables(prefix: str, number: int, result: SearchResult, history: History) -> None:
    out = Console()
    count = len({affected.run_uid for affected in result.affected})
    head = f"{count} of {result.runs} runs have revision {number} of {prefix}, by {history.authority}"
    out.print(Text(head), soft_wrap=True)
    if result.affected:
        out.print(_table(result.affected))
    if result.others:
        remark = (
            f"not affected: another geometry had the number {number} there, before the store was created again or after"
        )
        out.print(Text(remark), soft_wrap=True)
        out.print(_table(result.others))
    for uid, why in result.unreadable:
        Console(stderr=True).print(Text(f"run {uid} could not be read: {why}", style="bold red"), soft_wrap=True)


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
