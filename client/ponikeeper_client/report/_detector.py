"""The page about a detector: what is active, whether it applies, where it comes from, and how it drifted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ponikeeper.geometry import poni
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history.corrections import correction_text
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.protocol import LinkState, Snapshot, quantity
from ponikeeper.protocol.origin import snapshot_lines
from ponikeeper.text import timestamps
from ponikeeper_client.recall import read_history, timeline
from ponikeeper_client.recall._drift import draw
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._lookup import ask_history
from ponikeeper_client.report._page import Section, page, values_section

if TYPE_CHECKING:
    import pandas as pd

_REVISIONS, _ACTIVATIONS = 50, 20
"""The newest ones are listed."""

_NUMBERS = ("dist", "beam_x", "beam_y", "tilt")


def detector_report(prefix: str, history: Histories | None = None, timeout: float = 10.0) -> str:
    """Format a page about a detector.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``.
    history
        An exported history, its file, or a mirror in Tiled (its address or client). If omitted, the IOC is asked, which
        also says what is active now; where it does not answer, as for `read_history`.
    timeout
        How long the IOC may take to answer (s).

    Returns
    -------
    str
        HTML in one file: the active geometry with status, uncertainty and provenance, the links, the drift, and the
        newest revisions, activations and all corrections.

    Raises
    ------
    NotConnectedError
        The IOC does not answer, and there is no mirror that has the history.
    HistoryError
        The history is damaged.
    MissingExtraError
        Libraries of the extra ``plot`` are not installed.

    Examples
    --------
    >>> Path("pe1.html").write_text(detector_report("XF:28ID1-ES{Det:PE1}Calib:"))
    """
    if history is not None:
        exported, is_live = read_history(prefix, mirror=history), False
    else:
        exported, is_live = ask_history(prefix, timeout)
    return page(
        f"Geometry of {prefix}",
        timestamps.now(),
        sections(prefix, exported, _active(prefix, timeout) if is_live else None),
    )


def _active(prefix: str, timeout: float) -> Snapshot:
    """Read from the IOC what is active now."""
    from ponikeeper_client.device import CalibrationData  # an exported history needs no ophyd

    calib = CalibrationData(prefix, name="calib")
    try:
        calib.wait_for_connection(timeout=timeout)
        return calib.read_snapshot()
    finally:
        calib.destroy()


def sections(prefix: str, history: ExportedHistory, snapshot: Snapshot | None) -> Iterator[Section]:
    """Yield the parts of the page.

    Parameters
    ----------
    prefix
        PV prefix of the calibration.
    history
        The history of the detector.
    snapshot
        What is active now; None where that is not known.

    Yields
    ------
    Section
    """
    if snapshot is None:
        yield Section("Active geometry", ("not known: this page was made from a history, without the IOC",))
    elif snapshot.geometry is None:
        yield Section("Active geometry", (f"status: {snapshot.status}: {snapshot.reason}",))
    else:
        covariance: Any = snapshot.provenance.get("covariance")
        yield values_section("Active geometry", snapshot.geometry, covariance, snapshot_lines(snapshot))
        yield Section("As a PONI", text=poni.write(snapshot.geometry))
    if snapshot is not None and snapshot.link_states:
        columns = ("link", "PV", "now", "calibrated at", "")
        yield Section("Links", columns=columns, rows=[_link_row(link) for link in snapshot.link_states])
    if not history.revisions:
        return
    table = timeline(history)
    yield Section("Drift", picture=draw(table, prefix))
    yield Section(
        "Revisions",
        _newest_of(len(table), _REVISIONS),
        ("revision", "created", "label", "distance", "beam x", "beam y", "tilt", "correction", "author", "comment"),
        [_revision_row(row) for row in _newest(table, _REVISIONS)],
    )
    corrections = [correction_text(each) for each in history.corrections]
    yield Section("Corrections", corrections or ("none",))
    activations = timeline(history, by="activation")
    yield Section(
        "Activations",
        _newest_of(len(activations), _ACTIVATIONS),
        ("serial", "time", "revision", "label", "cause", "by"),
        [_activation_row(row) for row in _newest(activations, _ACTIVATIONS)],
    )


def _newest_of(count: int, shown: int) -> Sequence[str]:
    return (f"the newest {shown} of {count}",) if count > shown else ()


def _link_row(link: LinkState) -> tuple[str, ...]:
    state = link.out_of_service or link.unknown_because
    if state is None:
        state = "" if link.within is None else "within tolerance" if link.within else "MOVED"
    now, calibrated = ("" if value is None else quantity(value, link.units) for value in (link.value, link.calibrated))
    return link.name, link.pv, now, calibrated, state


def _newest(table: "pd.DataFrame", count: int) -> list[dict[str, Any]]:
    """Return the last rows, the newest first."""
    rows: Any = table.iloc[::-1].head(count).reset_index().to_dict("records")
    return rows


def _revision_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    numbers = (DISPLAY_UNITS[name].unicode(row[name]) if row[name] == row[name] else "" for name in _NUMBERS)
    wrong = "undone" if row["undone"] else ""
    if row["correction"]:
        wrong = f"{row['correction']}: {row['correction_reason']}"
    number = f"{row['revision']} (active)" if row["active"] else row["revision"]
    return number, _utc(row["time"]), row["label"], *numbers, wrong, row["author"], row["comment"] or ""


def _activation_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    return row["serial"], _utc(row["time"]), row["revision"], row["label"], row["cause"], row["activated_by"]


def _utc(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}Z"
