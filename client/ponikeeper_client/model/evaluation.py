"""Evaluation of a model for people: no message has a unit that was not typed."""

from collections.abc import Mapping

from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry.kinematics import Evaluation, Model
from ponikeeper.geometry.parameters import PARAMETERS


def evaluate(model: Model, position: Mapping[str, float]) -> Evaluation:
    """Evaluate a model, for people.

    Parameters
    ----------
    model
        The model.
    position
        The value of each joint's link, in the units of the joint.

    Returns
    -------
    Evaluation
        With its uncertainty.

    Raises
    ------
    ModelError
        A link is missing, its value is not possible, or the numbers of the model give no geometry.
    GeometryError
        There is no valid geometry at this position. A computed value was not typed in any unit: the message has what
        is allowed, and no unit that may have been meant.
    """
    try:
        return model.evaluate(position)
    except GeometryError as error:
        raise GeometryError(_as_computed(problem) for problem in error.problems) from None
    except ModelError:
        raise
    except (ArithmeticError, ValueError) as error:  # such as an angle beyond the largest number
        raise ModelError(f"the numbers of the model give no geometry here: {error}; fit it again") from error


def evaluate_or_none(model: Model, position: Mapping[str, float]) -> Evaluation | None:
    """Evaluate a model; None where there is no geometry at the position."""
    try:
        return evaluate(model, position)
    except (GeometryError, ModelError):
        return None


def _as_computed(problem: str) -> str:
    """Return the problem of a computed value, with what is allowed instead of a unit that may have been typed."""
    value, hint, _ = problem.partition(" looks like ")
    parameter = PARAMETERS.get(value.partition(" ")[0]) if hint else None
    return problem if parameter is None else f"{value} is out of range: expected {parameter.expected()}"
