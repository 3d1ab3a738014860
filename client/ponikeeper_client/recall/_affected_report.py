"""What `ponikeeper affected` prints: the runs that were taken with a revision."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ponikeeper.errors import NoGeometryError, RefusedError
from ponikeeper.text.strictjson import dumps
from ponikeeper_client.recall._affected import Affected, Search, each_run, open_catalog, search
from ponikeeper_client.recall._histories import Exported, History, ask_ioc, read_all

_TIMEOUT = 5.0


def report(prefix: str, number: int, catalog: str, files: Sequence[Path], as_json: bool) -> None:
    """Print which runs of a catalog were taken with a revision.

    Parameters
    ----------
    prefix, number
        PV prefix of the calibration, number of the revision.
    catalog
        As for `open_catalog`.
    files
        Exported histories to look in; without any the IOC is asked.

    Raises
    ------
    RefusedError
        There is no such revision, or the files have several of that number.
    NotConnectedError
        The IOC or the catalog does not answer.
    """
    history = _exported(prefix, number, files) if files else ask_ioc(prefix, _TIMEOUT)
    with open_catalog(catalog) as opened:
        try:
            found = search(each_run(opened), prefix, number, history)
        except NoGeometryError as error:
            raise RefusedError(str(error)) from None
    if as_json:
        sys.stdout.write(dumps(_as_dict(prefix, number, found)) + "\n")
    else:
        _show(prefix, number, found, history)


def _exported(prefix: str, number: int, files: Sequence[Path]) -> History:
    exports = [Exported(each) for each in read_all(files) if each.prefix == prefix]
    found = [(revision.uid, each) for each in exports if (revision := each.revision(number)) is not None]
    if len({uid for uid, _ in found}) != 1:
        what = f"several geometries have the number {number}" if found else f"there is no revision {number} of {prefix}"
        raise RefusedError(f"{what} in {', '.join(map(str, files))}: give the one export that is meant with --history")
    return max((each for _, each in found), key=lambda each: each.length)


def _as_dict(prefix: str, number: int, found: Search) -> dict[str, object]:
    return {
        "prefix": prefix,
        "revision": number,
        "runs": found.runs,
        "affected": [each.as_dict() for each in found.affected],
        "same_number_other_uid": [each.as_dict() for each in found.others],
        "unreadable": [{"run_uid": uid, "why": why} for uid, why in found.unreadable],
    }


def _show(prefix: str, number: int, found: Search, history: History) -> None:
    out = Console()
    count = len({each.run_uid for each in found.affected})
    head = f"{count} of {found.runs} runs have revision {number} of {prefix}, by {history.authority}"
    out.print(Text(head), soft_wrap=True)
    if found.affected:
        out.print(_table(found.affected))
    if found.others:
        apart = (
            f"not affected: another geometry had the number {number} there, before the store was begun anew, or after"
        )
        out.print(Text(apart), soft_wrap=True)
        out.print(_table(found.others))
    for uid, why in found.unreadable:
        Console(stderr=True).print(Text(f"run {uid} could not be read: {why}", style="bold red"), soft_wrap=True)


def _table(rows: Sequence[Affected]) -> Table:
    table = Table()
    for name in ("run", "scan", "began", "detector", "stream", "events", "now"):
        table.add_column(name, overflow="fold")
    for each in rows:
        scan = "" if each.scan_id is None else str(each.scan_id)
        recorded = each.recorded
        cells = (each.run_uid, scan, each.time, recorded.detector, recorded.stream, each.events(), each.known())
        table.add_row(*map(Text, cells))
    return table
