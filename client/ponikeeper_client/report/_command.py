"""Write a report to a file: `ponikeeper report`."""

import re
from collections.abc import Sequence
from pathlib import Path

from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client.recall._catalogs import open_catalog
from ponikeeper_client.report._detector import detector_report
from ponikeeper_client.report._run import run_report

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def write_report(what: str, catalog: str | None, output: Path | None, histories: Sequence[str]) -> str:
    """Write the report of a run, or of a detector.

    Parameters
    ----------
    what
        Uid of the run, where a catalog is given; otherwise PV prefix of the detector.
    catalog
        As for `open_catalog`; None for a detector.
    output
        The file; None makes a name of `what`, in the current folder.
    histories
        Files of exported histories, or addresses of mirrors, to look in; without any the IOC is asked.

    Returns
    -------
    str
        What was written, and where it is.

    Raises
    ------
    RefusedError
        The catalog has no such run, or the run has no geometry.
    ConfigError
        Several histories are given for one detector, or a uid without its catalog.
    NotConnectedError
        The IOC or the catalog does not answer.
    FileWriteError
        The file cannot be written; it is then as it was before.
    """
    path = output or Path(re.sub(r"[^\w.-]+", "_", what, flags=re.ASCII).strip("_") + ".html")
    if catalog is None:
        if _UID.fullmatch(what):
            raise ConfigError(
                f"{what} is the uid of a run: expected its catalog, too: ponikeeper report {what} http://localhost:8000"
            )
        if len(histories) > 1:
            raise ConfigError(f"--history is given {len(histories)} times: expected one history of {what}")
        write_atomic(path, detector_report(what, histories[0] if histories else None).encode())
        return f"{path}: report of {what}"
    with open_catalog(catalog) as opened:
        try:
            run = opened[what]
        except KeyError:
            raise RefusedError(f"{catalog.partition('?')[0]} has no run {what}: expected its whole uid") from None
        write_atomic(path, run_report(run, list(histories) or None).encode())
    return f"{path}: report of run {what}"
