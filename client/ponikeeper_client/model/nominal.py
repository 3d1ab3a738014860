"""Arms whose axes are as designed: what is known of these beforehand, and whether the calibrations agree. Pure."""

from collections.abc import Collection, Sequence

from ponikeeper.geometry.kinematics import AnyJoint, Chain
from ponikeeper_client.model.solve import Prior

TILT, OFFSET = 5e-3, 5e-4
"""Standard deviations of the axis of a nominal arm: of its direction (rad), of its place (m)."""

_IMPROBABLE = 3.3
"""Standard deviations: beyond it in one case of a thousand."""


def priors_of(joints: Sequence[AnyJoint], nominal: Collection[str]) -> dict[str, Prior]:
    """Return what is known of the axes of nominal arms.

    Parameters
    ----------
    joints
        From the floor to the detector, as designed.
    nominal
        Names of the arms whose axes are known.

    Returns
    -------
    dict
        Value and standard deviation by the name of the parameter.
    """
    return {
        name: (value, TILT if ".tilt" in name else OFFSET)
        for joint in joints
        if joint.link in nominal
        for name, value in joint.parameters().items()
    }


def axis_notes(joints: Sequence[AnyJoint], nominal: Collection[str], chain: Chain) -> list[str]:
    """Format which nominal arms have another axis, by the calibrations.

    Parameters
    ----------
    joints, nominal
        As for `priors_of`.
    chain
        The fitted chain.

    Returns
    -------
    list of str
        Empty where the calibrations agree, or do not determine the axes.
    """
    found, notes = chain.parameters(), list[str]()
    for link in nominal:
        priors = priors_of([joint for joint in joints if joint.link == link], nominal)
        away = {name: abs(found[name] - value) / sigma for name, (value, sigma) in priors.items()}
        name = max(away, key=lambda name: away[name])
        if away[name] > _IMPROBABLE:
            size = 1e3 * abs(found[name] - priors[name][0])
            what = f"tilted by {size:.2g} mrad" if ".tilt" in name else f"{size:.2g} mm away"
            notes.append(
                f"the axis of {link} is not as designed: it is {what}, {away[name]:.1f} standard deviations; fit "
                "without --nominal"
            )
    return notes
