"""Implementation of `ponikeeper model show`, `predict` and `range`."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.text import Text

from ponikeeper.errors import ConfigError, GeometryError, ModelError, RefusedError
from ponikeeper.geometry import poni
from ponikeeper.geometry.kinematics import Evaluation, Model, Reach
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.models import REFUSED_PX, answer_at, is_allowed, joint_position, range_text
from ponikeeper.protocol.origin import is_edited
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.system.terminal import make_console, print_text
from ponikeeper.text import strictjson
from ponikeeper.text.suggestions import suggestion
from ponikeeper_client.model.evaluation import evaluate
from ponikeeper_client.model.source import ModelSource, Served
from ponikeeper_client.model.table import (
    joint_lines,
    member_name,
    member_table,
    members_of_fit,
    prediction_lines,
    print_table,
    range_table,
)

_out = make_console()


def show(source: ModelSource, as_json: bool) -> None:
    """Print a model: members, joints, range, what it gives where the links are, and what is active.

    Parameters
    ----------
    source
        The model.
    as_json
        Whether to print JSON.
    """
    if as_json:
        _print_json(_shown(source))
        return
    model, served = source.model, source.served
    _print([_title(source)])
    print_table(member_table(model, served.wrong if served else ()))
    _print(joint_lines(model))
    for joint in model.joints:
        print_table(range_table(model, joint.link))
    _print([f"holds for {range_text(model, source.farthest)}"])
    if model.fit.get("unchecked"):
        _print(["unchecked: no calibration is left that tests the model; calibrate at one position more"], "yellow")
    if served is not None:
        _print((f"stale: revision {number} was {what}" for number, what in served.wrong.items()), "bold red")
        _print(_here_lines(source, served))
        _print([_active_line(served)])


def predict(source: ModelSource, position: Mapping[str, float], as_json: bool) -> None:
    """Print what a model says for a position.

    Parameters
    ----------
    source
        The model.
    position
        Values by link, in the units of the joints.
    as_json
        Whether to print JSON.

    Raises
    ------
    ConfigError
        A link is no joint of the model.
    ModelError
        A link is missing, or its value is not possible.
    GeometryError
        There is no geometry at this position.
    """
    units = {joint.link: joint.units for joint in source.model.joints}
    if unknown := [link for link in position if link not in units]:
        listed = ", ".join(f"{link} ({unit})" if unit else link for link, unit in units.items())
        raise ConfigError(
            f"{', '.join(unknown)} is no joint of this model{suggestion(unknown[0], units)}: expected {listed}"
        )
    there = evaluate(source.model, position)
    if as_json:
        _print_json({"v": 1, **_predicted(source, position, there)})
    else:
        _print(prediction_lines(source.model, there, source.farthest))


def print_range(source: ModelSource, as_json: bool) -> None:
    """Print where a model holds; parameters as `show`."""
    if as_json:
        _print_json({"v": 1, "range": _ranges(source.model, source.farthest)})
    else:
        _print([range_text(source.model, source.farthest)])


def write_poni(path: Path, source: ModelSource, position: Mapping[str, float]) -> None:
    """Write the geometry at a position as a PONI file, whose comments say where it comes from.

    Parameters
    ----------
    path
        The file.
    source
        The model.
    position
        Values by link, in the units of the joints.

    Raises
    ------
    RefusedError
        The position is out of the range of the model, or the geometry is too uncertain there.
    FileWriteError
        The file cannot be written.
    """
    model = source.model
    there = evaluate(model, position)
    lines = list(prediction_lines(model, there, source.farthest))
    if not is_allowed(there.reach, source.farthest) or not there.rms_px <= REFUSED_PX:
        raise RefusedError(f"{path} is not written: the model does not hold there: {'; '.join(lines[-2:])}")
    values = ", ".join(f"{link} {value!r}" for link, value in position.items())
    members = ", ".join(member_name(member) for member in members_of_fit(model))
    comments = [f"computed by a model for {values}, from {members}", *lines]
    write_atomic(path, poni.write(there.geometry, comments).encode("ascii"))


def _title(source: ModelSource) -> str:
    served = source.served
    if served is None:
        return f"model of {source.name}"
    label, author = _label(served), served.revision.provenance.get("author", "unknown")
    name = f"revision {served.revision.number}" + (f" ({label})" if label else "")
    return f"{source.name} {name}, a model by {author}"


def _label(served: Served) -> str | None:
    """Return the label that the model has now, as far as it is known."""
    return served.snapshot.label if served.is_active else served.revision.label


def _here_lines(source: ModelSource, served: Served) -> Iterator[str]:
    """Format where the links are, and what the model says there."""
    model, here = source.model, joint_position(source.model, served.links)
    if here is None:
        yield f"here: the position of the joints is unknown: {'; '.join(_unknown(model, served))}"
        return
    place = ", ".join(f"{joint.link} {quantity(here[joint.link], joint.units)}" for joint in model.joints)
    try:
        there = evaluate(model, here)
    except (GeometryError, ModelError) as error:
        yield f"here: {place}: {error}"
        return
    yield f"here: {place}"
    yield from (f"  {line}" for line in prediction_lines(model, there, source.farthest))


def _unknown(model: Model, served: Served) -> Iterator[str]:
    """Format what is not known of the joints."""
    by_name = {link.name: link for link in served.links}
    for joint in model.joints:
        link = by_name.get(joint.link)
        if link is None:
            yield f"the link {joint.link} is not configured"
        elif link.out_of_service is not None:
            yield f"{link} is {link.out_of_service}"
        elif link.unknown_because is not None:
            yield link.unknown_because
        elif link.units != joint.units:
            yield f"{link} is in {link.units or 'no units'}, the model needs {joint.units or 'none'}"


def _active_line(served: Served) -> str:
    snapshot = served.snapshot
    status = snapshot.status + (f", {snapshot.reason}" if snapshot.reason else "")
    if served.is_active:
        return f"active: computed by this model (serial {snapshot.serial}), {status}"
    return f"active: revision {snapshot.revision} (serial {snapshot.serial}), {_kind(served)}, {status}"


def _kind(served: Served) -> str:
    """Return whether the active geometry was calibrated, computed by a model, or edited by hand."""
    if is_model(served.snapshot):
        return "computed"
    return "edited" if is_edited(served.snapshot) else "calibrated"


def _shown(source: ModelSource) -> dict[str, object]:
    """Return the JSON object of `show`."""
    model, served = source.model, source.served
    values: dict[str, object] = {"v": 1, "model": model.as_dict(), "range": _ranges(model, source.farthest)}
    if served is None:
        return values
    here, snapshot = joint_position(model, served.links), served.snapshot
    answer = None if here is None else answer_at(model, here, source.farthest)
    there = None if answer is None else answer.evaluation
    return values | {
        "prefix": source.name,
        "revision": served.revision.number,
        "uid": served.revision.uid,
        "label": _label(served),
        "active": served.is_active,
        "active_revision": snapshot.revision,
        "geometry": _kind(served),
        "status": snapshot.status,
        "reason": snapshot.reason,
        "stale": [{"revision": number, "reason": what} for number, what in served.wrong.items()],
        "position": here,
        "problem": None if answer is None else answer.problem or None,
        "here": None if there is None or here is None else _predicted(source, here, there),
    }


def _predicted(source: ModelSource, position: Mapping[str, float], there: Evaluation) -> dict[str, object]:
    return {
        "position": dict(position),
        "geometry": there.geometry.as_dict(),
        "sigma": there.sigma,
        "rings_px": there.rms_px,
        "accuracy_deg": math.degrees(there.accuracy),
        "reach": there.reach.name,
        "holds": is_allowed(there.reach, source.farthest) and there.rms_px <= REFUSED_PX,
    }


def _ranges(model: Model, farthest: Reach) -> dict[str, object]:
    units = {joint.link: joint.units for joint in model.joints}
    return {
        link: {
            "units": units[link],
            "low": span.low,
            "high": span.high,
            "declared": span.declared,
            "allowed": list(span.limits(farthest)),
        }
        for link, span in model.spans.items()
    }


def _print_json(values: Mapping[str, object]) -> None:
    try:
        text = strictjson.dumps(dict(values))
    except ValueError as error:  # not finite, such as the limits of a range from -1e308 to 1e308
        raise ModelError(f"the numbers of the model are too large: {error}; fit it again") from error
    print_text(text)


def _print(lines: Iterator[str] | list[str], style: str = "") -> None:
    for line in lines:
        _out.print(Text(line, style=style), soft_wrap=True)
