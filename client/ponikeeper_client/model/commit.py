"""The request that commits a fitted model: with the position of the links that are no joints, as its members agree."""

from collections.abc import Collection, Sequence

from ponikeeper import __version__
from ponikeeper.errors import FitError
from ponikeeper.geometry.kinematics import Model
from ponikeeper.protocol import Commit, LinkState, calibrated_value, is_within
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.links import in_service
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client.model.fit import FittedModel
from ponikeeper_client.model.selection import Selected

_MAX_COMMENT = 1000
"""Largest length of the provenance's comment (characters)."""


def commit_of(
    fitted: FittedModel, members: Sequence[Selected], links: Sequence[LinkState], label: str | None = None
) -> Commit:
    """Build the request that commits a model.

    Parameters
    ----------
    fitted
        The model; nothing is against it.
    members
        Its members.
    links
        All links of the detector, as the IOC has them.
    label
        Label of the revision.

    Returns
    -------
    Commit

    Raises
    ------
    FitError
        Something is against the model, a joint is no configured link, or the members do not agree where another link
        was.
    """
    model = fitted.require_accepted()
    require_joints(model, links)
    position = agreed_position(members, links, {joint.link for joint in model.joints})
    provenance: dict[str, object] = {"method": "model", "software": f"ponikeeper {__version__}"}
    if fitted.notes:
        provenance["comment"] = to_ascii("; ".join(fitted.notes))[:_MAX_COMMENT]
    return Commit({}, provenance, label, {**model.reference, **position}, model=model.as_dict())


def require_joints(model: Model, links: Sequence[LinkState]) -> None:
    """Check that the joints of a model are configured links.

    Parameters
    ----------
    model
        The model.
    links
        All links of the detector, as the IOC has them.

    Raises
    ------
    FitError
        One is not, or is out of service.
    """
    configured = [link.name for link in in_service(links)]
    if missing := [name for name in model.reference if name not in configured]:
        known = " ".join(configured) or "none"
        raise FitError(
            f"{', '.join(missing)} is no link in service of this detector: expected joints among {known}, as the IOC "
            "has them in Links_RBV"
        )


def agreed_position(
    members: Sequence[Selected], links: Sequence[LinkState], joints: Collection[str]
) -> dict[str, float]:
    """Compute where the links that are no joints were at all calibrations.

    Parameters
    ----------
    members
        The calibrations.
    links
        All links of the detector; those that are out of service do not count.
    joints
        Names of the joints' links.

    Returns
    -------
    dict
        By link the value that is nearest to the middle of all, in the units of the link.

    Raises
    ------
    FitError
        The calibrations differ by more than the tolerance of a link, or one of them does not have its value.
    """
    position, problems = dict[str, float](), list[str]()
    for link in in_service(links):
        if link.name in joints:
            continue
        found = [(member.name, calibrated_value(link, member.revision.position)) for member in members]
        values = [value for _, value in found if value is not None]
        if len(values) < len(found):
            lacking = ", ".join(name for name, value in found if value is None)
            problems.append(
                f"{lacking} has no position of {link}: choose calibrations that have it, calibrate again, or take the "
                f"link out of service (ponikeeper out-of-service) if nothing depends on it"
            )
            continue
        centre = (min(values) + max(values)) / 2
        middle = min(values, key=lambda value: abs(value - centre))
        if all(is_within(link, value, middle) for value in values):
            position[link.name] = middle
            continue
        listed = ", ".join(f"{quantity(value, link.units)} in {name}" for name, value in found if value is not None)
        problems.append(
            f"{link} is no joint of this model, and the calibrations differ in it: {listed}; choose calibrations at "
            "one position of it, or make it a joint"
        )
    if problems:
        raise FitError(problems)
    return position
