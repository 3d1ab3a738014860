"""The history of a detector as a table over time (pandas)."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ponikeeper.errors import MissingExtraError
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.history import Activation, Revision
from ponikeeper.history.corrections import chain, correction_of
from ponikeeper.history.derived import derived_by_serial, with_derived
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.labels import label_of
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol.link_units import value_in
from ponikeeper_client.recall._histories import read_histories

if TYPE_CHECKING:
    import pandas as pd

By = Literal["revision", "activation"]

_PROVENANCE = ("method", "calibrant", "residual_px", "author", "comment")
_FIT2D = ("direct_dist", "beam_x", "beam_y", "tilt", "tilt_plane")
_NUMBERS = (*PARAMETERS, *(f"{name}_sigma" for name in PARAMETERS), "energy", *_FIT2D, "residual_px")
_EXPECTED = "expected one exported history, such as timeline('pe1.jsonl') or timeline(read_history(PREFIX))"


def timeline(history: ExportedHistory | str | Path, by: By = "revision") -> "pd.DataFrame":
    """Return every parameter of a detector over time.

    Parameters
    ----------
    history
        An exported history, its file, or what `read_history` returns.
    by
        One row for each ``revision``, at the time of its commit, or for each ``activation``: from this time on, the
        row was the active geometry. A model has one revision, and an activation with another geometry for each
        position.

    Returns
    -------
    pandas.DataFrame
        In the order of the history, by time (UTC, of the IOC's clock). Columns:

        - ``revision``, ``label`` (as it is now), ``active`` (now; of the activations the last one), ``undone``; by
          activation also ``serial``, ``cause``, ``activated_by``
        - ``dist``, ``poni1``, ``poni2``, ``pixel1``, ``pixel2``, ``wavelength`` (m), ``rot1``, ``rot2``, ``rot3``
          (rad), each with its standard deviation, such as ``dist_sigma``: NaN where the commit had none; ``detector``
        - the same as Fit2D has it: ``direct_dist`` (mm), ``beam_x``, ``beam_y`` (px), ``tilt``, ``tilt_plane`` (deg);
          NaN where the beam does not meet the plane of the detector. ``energy`` (keV)
        - ``correction``: empty, ``superseded`` or ``retracted``, as known now; ``replaced_by``: the revision that is
          right; ``correction_reason``
        - ``method``, ``calibrant``, ``residual_px``, ``author``, ``comment``
        - ``position_z`` and ``position_z_units`` for a link named z, in the units of the newest revision that has it;
          in its own where these cannot be converted; missing where it was not recorded

    Raises
    ------
    MissingExtraError
        pandas is not installed.
    HistoryError
        The file cannot be read, or is damaged.
    ValueError
        Several histories are given, or `by` is none of the two.

    Examples
    --------
    >>> timeline("pe1.jsonl").query("label == 'near' and correction == ''").plot(y="beam_x")
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pandas") from error
    if by not in get_args(By):
        raise ValueError(f"by={by!r} is not allowed: expected 'revision' or 'activation'")
    if not isinstance(history, ExportedHistory | str | Path):
        raise ValueError(f"a {type(history).__name__} is given: {_EXPECTED}")  # as recall does
    histories = read_histories(history)
    if len(histories) != 1:
        raise ValueError(f"{len(histories)} histories are given: {_EXPECTED}")
    exported = histories[0]
    rows = _by_revision(exported) if by == "revision" else _by_activation(exported)
    times, values = zip(*rows, strict=True) if exported.revisions else ((), ())
    index = pd.DatetimeIndex(pd.to_datetime(list(times), utc=True), name="time")
    table = pd.DataFrame(list(values), index=index, columns=list(_columns(exported, by)))
    numbers = {name: float for name in table.columns if name in _NUMBERS}
    return table.astype({**numbers, "replaced_by": "Int64"})


def _by_revision(history: ExportedHistory) -> Iterator[tuple[str, dict[str, Any]]]:
    undone = undone_revisions(history.activations, history.undos)
    link_units = _link_units(history)
    for revision in history.revisions:
        yield revision.created, _row(history, revision, undone, link_units)


def _by_activation(history: ExportedHistory) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = {each["revision"]: each for _, each in _by_revision(history)}
    derived, undone = derived_by_serial(history.derived), undone_revisions(history.activations, history.undos)
    link_units = _link_units(history)
    for activation in history.activations:
        row, given = rows[activation.revision], derived.get(activation.serial)
        if given is not None:
            revision = with_derived(history.revisions[activation.revision - 1], given)
            row = _row(history, revision, undone, link_units)
        values = {**_activation_values(activation), "active": activation is history.activations[-1]}
        yield activation.time, {**row, **values}


def _activation_values(activation: Activation) -> dict[str, Any]:
    return {"serial": activation.serial, "cause": activation.cause, "activated_by": activation.author}


def _columns(history: ExportedHistory, by: By) -> Iterator[str]:
    yield from ("revision", "label", "active", "undone")
    if by == "activation":
        yield from ("serial", "cause", "activated_by")
    for name in PARAMETERS:
        yield from (name, f"{name}_sigma")
    yield from ("detector", *_FIT2D, "energy", "correction", "replaced_by", "correction_reason", *_PROVENANCE)
    for link in _link_units(history):
        yield from (f"position_{link}", f"position_{link}_units")


def _row(
    history: ExportedHistory, revision: Revision, undone: Collection[int], link_units: Mapping[str, object]
) -> dict[str, Any]:
    geometry, provenance = revision.geometry, revision.provenance
    sigma = provenance.get("sigma")
    sigmas = sigma if isinstance(sigma, Mapping) else {}
    fit2d = geometry.fit2d
    active = history.activations[-1].revision if history.activations else 0
    values: dict[str, Any] = {
        "revision": revision.number,
        "label": label_of(revision, history.labels) or "",
        "active": revision.number == active,
        "undone": revision.number in undone,
        **{name: getattr(geometry, name) for name in (*PARAMETERS, "detector", "energy")},
        **{f"{name}_sigma": sigmas.get(name) for name in PARAMETERS},
        **({} if fit2d is None else asdict(fit2d)),
        **_correction_values(history, revision.number),
        **{key: provenance.get(key) for key in _PROVENANCE},
    }
    for link, item in (revision.position or {}).items():
        value, units = _in_units(item, link_units[link])
        values |= {f"position_{link}": value, f"position_{link}_units": units}
    return values


def _link_units(history: ExportedHistory) -> dict[str, object]:
    """Return the newest units of each link in which a position was recorded."""
    positions = (revision.position for revision in history.revisions if revision.position)
    return {link: item.get("units") for position in positions for link, item in position.items()}


def _in_units(item: Mapping[str, object], wanted: object) -> tuple[object, object]:
    """Return the value of a link and its units, converted where that is possible."""
    value, units = item.get("value"), item.get("units")
    if not isinstance(value, float) or not isinstance(units, str) or not isinstance(wanted, str):
        return value, units
    converted = value_in(value, units, wanted)
    return (value, units) if converted is None else (converted, wanted)


def _correction_values(history: ExportedHistory, revision: int) -> dict[str, Any]:
    correction = correction_of(history.corrections, revision)
    if correction is None:
        return {"correction": "", "replaced_by": None, "correction_reason": ""}
    return {
        "correction": "retracted" if correction.by is None else "superseded",
        "replaced_by": chain(history.corrections, revision)[-1].by,
        "correction_reason": correction.reason,
    }
