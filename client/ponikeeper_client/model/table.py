"""Tables of a model for terminals: its joints, its members, and its uncertainty over the range."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeGuard, cast

import numpy as np
from rich.table import Table
from rich.text import Text

from ponikeeper.geometry.kinematics import AnyJoint, Beam, Evaluation, Model, Reach, Rotate, Translate
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.protocol.models import REFUSED_PX, UNCERTAIN_PX, is_allowed
from ponikeeper.system.terminal import make_console
from ponikeeper_client.model.evaluation import evaluate_or_none
from ponikeeper_client.model.left_out import probability_text

_ROWS = 7

_WIDEST = 240
"""Width of a table (characters)."""

_MISSING = "-"
"""What a table has where the fit of a model does not have a number."""

_SHOWN = ("dist", "poni1", "poni2", "rot1", "rot2")


def member_table(model: Model, wrong: Collection[int] = ()) -> Table:
    """Build the table of the members.

    Parameters
    ----------
    model
        The model.
    wrong
        Numbers of members that were corrected since.

    Returns
    -------
    rich.table.Table
        Position, residual, and how far the others predict each member; "-" where the fit does not have it.
    """
    table = Table()
    for head in ("member", *(f"{joint.link} ({joint.units})" for joint in model.joints)):
        table.add_column(head, justify="left" if head == "member" else "right")
    for head in ("residual (px)", "left out (px)", "p"):
        table.add_column(head, justify="right")
    for member in members_of_fit(model):
        position, probability = member.get("position"), member.get("left_out_probability")
        place = cast("Mapping[str, object]", position) if isinstance(position, Mapping) else {}
        table.add_row(
            Text(f"{member_name(member)}{', corrected since' if member.get('revision') in wrong else ''}"),
            *(_cell(place.get(joint.link), ".6g") for joint in model.joints),
            _cell(member.get("residual_px"), ".3f"),
            _cell(member.get("left_out_px"), ".3f"),
            probability_text(probability).removeprefix("= ") if _is_number(probability) else _MISSING,
        )
    return table


def members_of_fit(model: Model) -> Sequence[Mapping[str, object]]:
    """Return what the fit of a model has of its members; empty for a model that was not fitted here.

    Only ``revision`` and ``uid`` are certain: a file may have been made by another program.
    """
    return cast("Sequence[Mapping[str, object]]", model.fit.get("members", ()))


def member_name(member: Mapping[str, object]) -> str:
    """Return the name of a member for people: its number, and its label where the fit knew one."""
    return str(member.get("name") or f"revision {member.get('revision')}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _cell(value: object, form: str) -> str:
    return f"{value:{form}}" if _is_number(value) else _MISSING


def print_table(table: Table) -> None:
    """Print a table with every digit, wider than the terminal if necessary."""
    width = make_console(width=_WIDEST).measure(table).maximum
    make_console(width=max(make_console().width, width)).print(table, crop=False)


def range_table(model: Model, link: str) -> Table:
    """Build the table of the geometry and its uncertainty over the range of a link, the others at the reference.

    Parameters
    ----------
    model
        The model.
    link
        The link of a joint.

    Returns
    -------
    rich.table.Table
    """
    table = Table(title=Text(f"over {link}, {range_text(model, link)}"), title_justify="left")
    for head in (
        f"{link} ({units_of(model, link)})",
        *(f"{name} ({DISPLAY_UNITS[name].unit})" for name in _SHOWN),
        "rings (px)",
        "",
    ):
        table.add_column(head, justify="right")
    for value in positions_over(model, link, _ROWS):
        there = evaluate_or_none(model, {**model.reference, link: value})
        if there is None:
            table.add_row(f"{value:.6g}", *("" for _ in _SHOWN), "", "no geometry")
            continue
        cells = (DISPLAY_UNITS[name].fixed(getattr(there.geometry, name)) for name in _SHOWN)
        table.add_row(f"{value:.6g}", *cells, f"{there.rms_px:.3f}", verdict_of(there))
    return table


def positions_over(model: Model, link: str, count: int) -> list[float]:
    """Return values of a link over its range, both ends included.

    Parameters
    ----------
    model
        The model.
    link
        The link of a joint.
    count
        How many.

    Returns
    -------
    list of float
        In the units of the joint.
    """
    span = model.spans[link]
    return np.linspace(span.low, span.high, count).tolist()


def units_of(model: Model, link: str) -> str:
    """Return the units of a joint's link."""
    return next(joint.units for joint in model.joints if joint.link == link)


def range_text(model: Model, link: str) -> str:
    """Format the range of a link.

    Parameters
    ----------
    model
        The model.
    link
        The link of a joint.

    Returns
    -------
    str
        Such as ``200 to 1000 mm, calibrated``.
    """
    span = model.spans[link]
    return f"{span.low:.6g} to {span.high:.6g} {units_of(model, link)}, {'declared' if span.declared else 'calibrated'}"


def joint_lines(model: Model) -> Iterator[str]:
    """Format what each joint does, and how the fit ended.

    Parameters
    ----------
    model
        The model.

    Yields
    ------
    str
        A line for each joint, from the floor to the detector, and one for the fit.
    """
    for joint in model.joints:
        yield f"{joint.link}: {_joint_text(joint, model)}"
    chi2, freedom = model.fit.get("chi2"), model.fit.get("dof")
    if _is_number(chi2) and _is_number(freedom):
        yield f"chi squared {chi2:.1f} with {freedom:g} degrees of freedom; scatter {1e6 * model.scatter:.1f} um"


def prediction_lines(model: Model, there: Evaluation, farthest: Reach = Reach.MARGIN) -> Iterator[str]:
    """Format what a model says for one position.

    Parameters
    ----------
    model
        The model.
    there
        What it says.
    farthest
        How far outside of its range it may be used.

    Yields
    ------
    str
        A line for each value with its standard deviation, for the rings, and for the range.
    """
    sigma = there.sigma
    for name in (*_SHOWN, "rot3", "wavelength"):
        unit = DISPLAY_UNITS[name]
        error = f" +- {unit.convert(sigma[name]):.2g}" if name in sigma else ""
        yield f"{name:<10} {unit.fixed(getattr(there.geometry, name))}{error} {unit.unit}"
    yield f"rings      +- {there.rms_px:.3f} px rms over the panel, {np.degrees(there.accuracy):.2g} deg at worst"
    verdict = verdict_of(there, farthest)
    ranges = "; ".join(f"{link} {range_text(model, link)}" for link in model.spans)
    yield f"range      {there.reach.value} ({ranges}){f': {verdict}' if verdict else ''}"


def verdict_of(there: Evaluation, farthest: Reach = Reach.MARGIN) -> str:
    """Return what is against what a model says for a position: in capitals, as its status; empty where nothing is.

    Parameters
    ----------
    there
        What it says.
    farthest
        How far outside of its range it may be used.

    Returns
    -------
    str
    """
    if not is_allowed(there.reach, farthest):
        return "OUT_OF_RANGE"
    if not there.rms_px <= REFUSED_PX:
        return "too uncertain"
    return "" if there.rms_px <= UNCERTAIN_PX else "UNCERTAIN"


def _joint_text(joint: AnyJoint, model: Model) -> str:
    if isinstance(joint, Translate):
        direction = np.array(joint.direction)
        length = float(np.linalg.norm(direction))
        away = float(np.arctan2(np.hypot(direction[0], direction[1]), abs(direction[2])))
        listed = ", ".join(f"{value:.5f}" for value in joint.direction)
        return f"moves along ({listed}), {1e3 * away:.2f} mrad from the beam, {length:.6f} of the motor's scale"
    if isinstance(joint, Rotate):
        side = "left" if joint.factor < 0 else "right"
        tilt, offset = (", ".join(f"{1e3 * value:.3f}" for value in pair) for pair in (joint.tilt, joint.offset))
        return (
            f"turns {side}-handed about lab axis {joint.about}, which is tilted by ({tilt}) mrad and passes the sample "
            f"at ({offset}) mm"
        )
    return f"the wavelength follows the {joint.quantity}{_factor_text(joint, model)}"


def _factor_text(joint: Beam, model: Model) -> str:
    """Format the factor k of an energy, wavelength = hc / (k energy)."""
    value = model.reference[joint.link]
    if value == 0:  # of a model that was not fitted here: it gives no geometry anywhere
        return ""
    if joint.quantity == "wavelength":
        return f", {model.geometry.wavelength * 1e10 / value:.6g} angstrom per {joint.units}"
    return f", {model.geometry.energy / value:.6g} keV per {joint.units}"
