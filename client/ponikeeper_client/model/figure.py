"""Figure of a model: its values and their uncertainty over the range of a link, and how far the members are from it."""

from typing import Any

import numpy as np

from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.protocol.models import REFUSED_PX, UNCERTAIN_PX
from ponikeeper_client._figures import new_figure, png, set_title
from ponikeeper_client.model.evaluation import evaluate_or_none
from ponikeeper_client.model.fit import FittedModel
from ponikeeper_client.model.table import positions_over, range_text, units_of

_POINTS = 81
_VALUES = ("dist", "poni1", "poni2", "rot1", "rot2")


def draw(fitted: FittedModel, title: str) -> bytes:
    """Draw a model as a PNG.

    Parameters
    ----------
    fitted
        Accepted or rejected.
    title
        First line of the title.

    Returns
    -------
    bytes
        The content of a PNG file: a column for each joint, the other links at the reference.
    """
    links = [joint.link for joint in fitted.model.joints]
    figure = new_figure(2 + 5.5 * len(links), 14, between=(0.25, 0.1))
    panels = figure.subplots(len(_VALUES) + 2, len(links), sharex="col", squeeze=False)
    for column, link in enumerate(links):
        _show_link(panels[:, column], fitted, link)
    problem = f"\nREJECTED: {fitted.problems[0]}" if fitted.problems else ""
    set_title(figure, title + problem, "tab:red" if problem else "black")
    return png(figure)


def _show_link(panels: Any, fitted: FittedModel, link: str) -> None:
    model = fitted.model
    places = positions_over(model, link, _POINTS)
    there = [(place, evaluate_or_none(model, {**model.reference, link: place})) for place in places]
    shown = [(place, each) for place, each in there if each is not None]
    at = np.array([place for place, _ in shown])
    measured = [residual.member for residual in fitted.residuals]
    member_at = [member.position[link] for member in measured]
    for axes, name in zip(panels, _VALUES, strict=False):
        unit = DISPLAY_UNITS[name]
        line = np.array([unit.convert(getattr(each.geometry, name)) for _, each in shown])
        sigma = np.array([unit.convert(each.sigma[name]) for _, each in shown])
        axes.fill_between(at, line - sigma, line + sigma, color="tab:blue", alpha=0.25, linewidth=0)
        axes.plot(at, line, color="tab:blue", linewidth=1)
        values = [unit.convert(getattr(member.geometry, name)) for member in measured]
        axes.plot(member_at, values, "o", color="black", markersize=4)
        axes.set_ylabel(f"{name} ({unit.unit})")
        axes.ticklabel_format(useOffset=False)
    panels[0].set_title(f"{link}: {range_text(model, link)}", fontsize="medium")
    rings = panels[len(_VALUES)]
    rings.plot(at, [each.rms_px for _, each in shown], color="tab:blue")
    for limit, color in ((UNCERTAIN_PX, "tab:orange"), (REFUSED_PX, "tab:red")):
        rings.axhline(limit, color=color, linewidth=0.8, linestyle="--")
    rings.set_ylabel("rings:\nsigma (px)")
    rings.set_ylim(bottom=0)
    residuals = panels[len(_VALUES) + 1]
    residuals.plot(member_at, [each.shift_px for each in fitted.residuals], "o", color="black", label="fitted")
    left_out = [(each.member.position[link], each.left_out) for each in fitted.residuals]
    predicted = [(place, one.shift_px) for place, one in left_out if one is not None]
    if predicted:
        residuals.plot(*zip(*predicted, strict=True), "x", color="tab:red", label="predicted by the others")
    residuals.legend(fontsize="small")
    residuals.set_ylabel("residual (px)")
    residuals.set_ylim(bottom=0)
    units = units_of(model, link)
    residuals.set_xlabel(f"{link} ({units})" if units else link)
