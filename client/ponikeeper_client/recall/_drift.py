"""The drift of a geometry over time, drawn: `ponikeeper plot`."""

import re
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client._figures import png
from ponikeeper_client.recall._lookup import read_history
from ponikeeper_client.recall._timeline import timeline

if TYPE_CHECKING:
    import pandas as pd

_QUANTITIES = {"dist": "distance", "beam_x": "beam centre x", "beam_y": "beam centre y", "tilt": "tilt"}
_WITHOUT = "without label"
_DPI = 100
_MARGIN = 0.08
"""Part of the range of the values that is left free around them."""

_SHORTEST = timedelta(minutes=1)
"""Time that is left free at least, before the first commit and after the last."""


def plot(prefix: str, output: Path | None, labels: Sequence[str], source: str | None) -> str:
    """Draw the drift of a detector's geometry to a PNG file.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    output
        The file; None makes a name of the prefix, in the current folder.
    labels
        Draw only the revisions with these labels; all where it is empty.
    source
        The file of an exported history to draw, or the address of a mirror; None asks the IOC, and then the mirror.

    Returns
    -------
    str
        What was drawn, and where it is.

    Raises
    ------
    RefusedError
        There is nothing to draw.
    HistoryError, NotConnectedError
        The history cannot be read.
    FileWriteError
        The file cannot be written.
    """
    for library in ("pandas", "matplotlib"):  # where one is not installed, that is reported at once
        import_module(library)
    table = timeline(read_history(prefix, mirror=source))
    if table.empty:
        raise RefusedError(f"{prefix} is UNSET: no geometry was ever committed")
    selected: pd.DataFrame = table.loc[table["label"].isin(list(labels))] if labels else table
    if selected.empty:
        known = ", ".join(sorted(set(table["label"]) - {""})) or "none"
        raise RefusedError(f"there is no revision labelled {' or '.join(labels)}: the history has labels {known}")
    path = output or Path(re.sub(r"[^\w.-]+", "_", prefix, flags=re.ASCII).strip("_") + "_drift.png")
    write_atomic(path, draw(selected, prefix))
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in (selected.index.min(), selected.index.max()))
    count = len(selected)
    return f"{path}: {count} revision{'s' * (count != 1)} of {prefix} from {first} to {last} UTC"


def draw(table: "pd.DataFrame", title: str) -> bytes:
    """Draw how distance, beam centre and tilt differ from the first revision of the same label.

    Parameters
    ----------
    table
        What `timeline` returns, by revision; not empty.
    title
        Title of the figure.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2 + 2 * len(_QUANTITIES)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # it needs no display
    panels = figure.subplots(len(_QUANTITIES), sharex=True)
    groups = list(table.groupby("label", sort=False))
    for axes, (quantity, name) in zip(panels, _QUANTITIES.items(), strict=True):
        differences = [_differences(group, quantity) for _, group in groups]
        low, high = _limits(differences)
        for number, ((label, group), values) in enumerate(zip(groups, differences, strict=True)):
            reference = _reference(group)
            start = DISPLAY_UNITS[quantity].text(reference[quantity])
            _show(axes, values, f"C{number % 10}", f"{label or _WITHOUT}: {start}", (low, high))
        axes.axhline(0, color="black", linewidth=0.5)
        axes.set_ylim(low, high)
        axes.set_ylabel(f"{name}\n({DISPLAY_UNITS[quantity].unit})")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small", title="label: first value")
    panels[-1].set_xlim(*_time_limits(table))
    locator = AutoDateLocator(tz="UTC")
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    panels[-1].set_xlabel("time of the commit (UTC)")
    figure.suptitle(f"{title}\ndifference from the first revision of the label; x: corrected or undone, ring: active")
    return png(figure)


def _reference(group: "pd.DataFrame") -> Any:
    """Return the row from which the others are counted: the first that is right, else the first."""
    right = group[~_is_wrong(group)]
    return (group if right.empty else right).iloc[0]


def _is_wrong(group: "pd.DataFrame") -> Any:
    """Return for each revision whether it was corrected or undone."""
    return (group["correction"] != "") | group["undone"]


def _differences(group: "pd.DataFrame", quantity: str) -> "pd.DataFrame":
    """Return the differences from the first revision, and their sigmas, in the unit of the figure."""
    import numpy as np
    import pandas as pd

    factor = DISPLAY_UNITS[quantity].factor
    sigma = group[f"{quantity}_sigma"] * factor if f"{quantity}_sigma" in group else np.nan
    return pd.DataFrame(
        {
            "value": (group[quantity] - _reference(group)[quantity]) * factor,
            "sigma": sigma,
            "wrong": _is_wrong(group),
            "active": group["active"],
        }
    )


def _limits(differences: Sequence["pd.DataFrame"]) -> tuple[float, float]:
    """Compute the range of the axis from the revisions that are right: a typing mistake must not hide the drift."""
    import numpy as np

    values, sigmas, wrong = (
        np.concatenate([each[column].to_numpy() for each in differences]) for column in ("value", "sigma", "wrong")
    )
    shown = np.isfinite(values) & ~wrong.astype(bool)
    if not shown.any():
        shown = np.isfinite(values)
    if not shown.any():
        return -1.0, 1.0
    errors = np.where(np.isfinite(sigmas), sigmas, 0.0)[shown]
    low, high = float((values[shown] - errors).min()), float((values[shown] + errors).max())
    room = _MARGIN * (high - low) or 1e-3
    return low - room, high + room


def _time_limits(table: "pd.DataFrame") -> tuple[Any, Any]:
    """Compute the range of the time axis, which is never too short for its ticks."""
    times: Any = table.index
    first, last = times.min(), times.max()
    room = max(_MARGIN * (last - first), _SHORTEST)
    return first - room, last + room


def _show(axes: Any, values: "pd.DataFrame", color: str, label: str, limits: tuple[float, float]) -> None:
    """Draw the revisions of one label; corrected ones beyond the axis are at its edge."""
    right, wrong = values[~values["wrong"]], values[values["wrong"]]
    axes.errorbar(
        right.index, right["value"], yerr=right["sigma"], color=color, label=label, marker=".", linewidth=0.8,
        elinewidth=0.8, capsize=2,
    )  # fmt: skip
    axes.plot(wrong.index, wrong["value"].clip(*limits), "x", color=color, alpha=0.6)
    active = values[values["active"]]
    axes.plot(active.index, active["value"].clip(*limits), "o", color="black", fillstyle="none", markersize=9)
