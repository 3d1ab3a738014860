"""Implementation of `ponikeeper model`: a history in, a model and a picture out, or the reasons against it."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ponikeeper.errors import ConfigError, FitError, MissingExtraError, ModelError, RefusedError
from ponikeeper.geometry import poni
from ponikeeper.geometry.kinematics import Beam, Evaluation, Model, Reach
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.protocol.models import REFUSED_PX
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.text import strictjson
from ponikeeper_client.model.fit import FittedModel, Setup, fit_model
from ponikeeper_client.model.members import member_of, panel_of
from ponikeeper_client.model.motion import Motion, position_of, wavelength_problems
from ponikeeper_client.model.selection import Selected, other_links, select, units_of
from ponikeeper_client.model.table import joint_lines, member_table, prediction_lines, range_table
from ponikeeper_client.recall._histories import read_histories, read_history

_out, _err = Console(), Console(stderr=True)

_WIDEST = 240
"""Width of a table (characters)."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the motors beforehand.

    Parameters
    ----------
    nominal
        Whether the axes of the arms are as designed.
    motor_sigma
        Standard deviation of the position of each link, in its units.
    scale_sigma
        Relative standard deviation of the scale of each motor.
    ranges
        Declared ranges of links, in their units.
    """

    nominal: bool = False
    motor_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    scale_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def require_links(self, links: Sequence[str]) -> None:
        """Check that only joints are named; raises `ConfigError`."""
        options = {"--sigma": self.motor_sigma, "--scale-sigma": self.scale_sigma, "--range": self.ranges}
        for option, given in options.items():
            if unknown := [link for link in given if link not in links]:
                raise ConfigError(
                    f"{option} {unknown[0]}=...: {unknown[0]} is no joint, expected one of {' '.join(links)}"
                )


def read(prefix: str, file: Path | None) -> ExportedHistory:
    """Read the history of a detector.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    file
        An exported history; None asks the IOC.

    Returns
    -------
    ExportedHistory

    Raises
    ------
    RefusedError
        The file is the history of another detector.
    HistoryError, NotConnectedError
        It cannot be read.
    """
    history = read_history(prefix) if file is None else read_histories(file)[0]
    if history.prefix != prefix:
        raise RefusedError(f"{file} is the history of {history.prefix}: expected one of {prefix}")
    return history


def fit_history(
    history: ExportedHistory, words: str, motion: Motion, known: Knowledge
) -> tuple[FittedModel, list[str]]:
    """Fit a model to revisions of a history.

    Parameters
    ----------
    history
        Of the detector.
    words
        Which revisions: labels and numbers with commas between, or ``all``.
    motion
        How the detector moves.
    known
        What is known of the motors.

    Returns
    -------
    FittedModel, list of str
        The model, and what a person should know of its members.

    Raises
    ------
    FitError
        The revisions cannot be members of one model, or do not determine it.
    ConfigError
        An option names a link that is no joint.
    """
    known.require_links(motion.links)
    selected = select(history, words, motion.links)
    units = {link: units_of(selected, link) for link in motion.links}
    joints = motion.joints(units)
    geometry = selected[-1].revision.geometry
    panel = panel_of(geometry)
    if panel is None:
        raise FitError(
            f"the size of the detector {geometry.detector} is not known: commit its geometry with "
            '"max_shape": [rows, columns] in detector_config'
        )
    nominal = [link for link, _ in motion.arms] if known.nominal else []
    setup = Setup(joints, panel, nominal, known.motor_sigma, known.scale_sigma, known.ranges)
    members = [member_of(each.revision, each.name, position_of(each, units), setup.middle) for each in selected]
    beam = next((joint for joint in joints if isinstance(joint, Beam)), None)
    if wrong := wavelength_problems(members, beam):
        raise FitError(wrong)
    return fit_model(setup, members), _other_notes(selected, motion)


def report(fitted: FittedModel, notes: Sequence[str], title: str) -> None:
    """Print a model: members, joints, range, notes; the problems on stderr."""
    _print_table(member_table(fitted, title))
    for line in joint_lines(fitted.model):
        _out.print(Text(line), soft_wrap=True)
    for joint in fitted.model.joints:
        _print_table(range_table(fitted.model, joint.link))
    for note in (*fitted.notes, *notes):
        _out.print(Text(note, style="yellow"), soft_wrap=True)
    for problem in fitted.problems:
        _err.print(Text(problem, style="bold red"), soft_wrap=True)


def _print_table(table: Table) -> None:
    """Print a table with every digit, wider than the terminal if necessary."""
    width = Console(width=_WIDEST).measure(table).maximum
    _out.print(table, width=max(_out.width, width), crop=False)


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write a model, or another JSON object, to a file; raises `FileWriteError` if it cannot be written."""
    write_atomic(path, (strictjson.dumps(dict(values)) + "\n").encode("ascii"))


def load_model(path: Path) -> Model:
    """Read a model from a JSON file.

    Parameters
    ----------
    path
        Of a file that ponikeeper model fit wrote.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file cannot be read, or is no model; each problem names it.
    """
    try:
        values = strictjson.loads(path.read_text(encoding="ascii"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: expected a model, as ponikeeper model fit writes it") from error
    except ValueError as error:
        raise ModelError(f"{path}: this is not JSON: {error}") from None
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: this is not a JSON object: expected a model")
    try:
        return Model.parse(values)
    except ModelError as error:
        raise ModelError(f"{path}: {problem}" for problem in error.problems) from None


def write_picture(path: Path, fitted: FittedModel, title: str) -> None:
    """Draw a model to a PNG file; raises `MissingExtraError` and `FileWriteError`."""
    try:
        from ponikeeper_client.model.figure import draw

        content = draw(fitted, title)
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "matplotlib") from error
    write_atomic(path, content)


def predict(model: Model, position: Mapping[str, float], as_json: bool) -> None:
    """Print what a model says for a position; raises `ModelError` and `GeometryError` as `Model.evaluate`."""
    there = model.evaluate(position)
    if as_json:
        sys.stdout.write(strictjson.dumps(_as_dict(position, there)) + "\n")
        return
    for line in prediction_lines(model, there):
        _out.print(Text(line), soft_wrap=True)


def write_poni(path: Path, model: Model, position: Mapping[str, float]) -> None:
    """Write the geometry at a position as a PONI file, whose comments say where it comes from.

    Parameters
    ----------
    path
        The file.
    model
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
    there = model.evaluate(position)
    if there.reach is Reach.OUTSIDE or there.rms_px > REFUSED_PX:
        lines = list(prediction_lines(model, there))
        raise RefusedError(f"{path} is not written: the model does not hold there: {'; '.join(lines[-2:])}")
    values = ", ".join(f"{link} {value!r}" for link, value in position.items())
    members = ", ".join(str(member["name"]) for member in _members(model))
    comments = [f"computed by a model for {values}, from {members}", *prediction_lines(model, there)]
    write_atomic(path, poni.write(there.geometry, comments).encode("ascii"))


def parse_numbers(option: str, words: Sequence[str], count: int = 1) -> dict[str, tuple[float, ...]]:
    """Parse words such as ``z=523`` or ``tth=0,40``.

    Parameters
    ----------
    option
        Name of the option, for messages.
    words
        The words.
    count
        How many numbers follow each ``=``.

    Returns
    -------
    dict
        Numbers by link.

    Raises
    ------
    ConfigError
        A word has another form, or a link is given twice.
    """
    values: dict[str, tuple[float, ...]] = {}
    expected = "link=number, such as z=523" if count == 1 else "link=low,high, such as tth=0,40"
    for word in words:
        link, _, numbers = word.partition("=")
        try:
            parsed = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            parsed = ()
        if not link or len(parsed) != count or not all(abs(number) < float("inf") for number in parsed):
            raise ConfigError(f"{option} {word}: expected {expected}")
        if link in values:
            raise ConfigError(f"{option} {word}: {link} is given twice")
        values[link] = parsed
    return values


def _members(model: Model) -> Sequence[Mapping[str, object]]:
    members = model.fit.get("members")
    return cast("Sequence[Mapping[str, object]]", members) if isinstance(members, list) else ()


def _as_dict(position: Mapping[str, float], there: Evaluation) -> dict[str, object]:
    return {
        "v": 1,
        "position": dict(position),
        "geometry": there.geometry.as_dict(),
        "sigma": there.sigma,
        "rings_px": there.rms_px,
        "accuracy_deg": math.degrees(there.accuracy),
        "reach": there.reach.name,
    }


def _other_notes(selected: Sequence[Selected], motion: Motion) -> list[str]:
    return [
        f"{link} was at {low:.6g} to {high:.6g} {units}".rstrip() + ", and is no joint of this model"
        for link, (low, high, units) in other_links(selected, motion.links).items()
    ]
