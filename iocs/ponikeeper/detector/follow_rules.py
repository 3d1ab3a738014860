"""Decide when the links have moved to another position, and whether they are at a known one. Pure.

A link has moved when it was seen beyond its tolerance of its baseline. A link that was disconnected may
be anywhere when it is connected again: whether it moved is unknown, and that never activates another revision.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from ponikeeper.history import Position
from ponikeeper.protocol import LinkState, calibrated_value, is_within

Prefer = Literal["model", "calibrated"]
"""What is activated where a model holds and a revision was calibrated exactly there."""


@dataclass(frozen=True, slots=True)
class LinkMotion:
    """What the links have done since it was last decided which geometry belongs to their position.

    Parameters
    ----------
    baseline
        Value of each link at that time, or when it came back.
    steady
        Links that were seen at rest since the start, or since they came back: before that their values may be
        those with which a server starts.
    moved
        Links that moved since.
    returned
        Links that came back since; what they did while they were disconnected is unknown.
    """

    baseline: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    steady: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()


def motion_after_restart(links: Sequence[LinkState], rested: Position) -> LinkMotion:
    """Return the motion with the position that was stored before a restart: what moved in between has moved."""
    values = {link.name: calibrated_value(link, rested) for link in links}
    return LinkMotion({name: value for name, value in values.items() if value is not None})


def updated_motion(motion: LinkMotion, links: Sequence[LinkState]) -> LinkMotion:
    """Return the motion after the links in service were seen as they are now; the others are forgotten."""
    names = {link.name for link in links}
    baseline = {name: value for name, value in motion.baseline.items() if name in names}
    steady, moved, returned = ({*part} & names for part in (motion.steady, motion.moved, motion.returned))
    for link in links:
        name = link.name
        if link.value is None or not link.connected:
            if name in steady:
                steady.discard(name)
                moved.discard(name)
                baseline.pop(name, None)
            continue
        if name not in steady and link.moving is not False:
            continue
        steady.add(name)
        if name not in baseline:
            baseline[name] = link.value
            returned.add(name)
        elif not is_within(link, link.value, baseline[name]):
            moved.add(name)
    return LinkMotion(baseline, frozenset(steady), frozenset(moved), frozenset(returned))


def has_arrived(motion: LinkMotion, links: Sequence[LinkState]) -> bool:
    """Return whether the links have come to rest at a new position."""
    return bool(motion.moved or motion.returned) and not any(link.unknown_because for link in links)


def rebased(motion: LinkMotion, links: Sequence[LinkState]) -> LinkMotion:
    """Return the motion after that was decided: the values of the links are the new baseline."""
    values = {link.name: link.value for link in links if link.value is not None}
    return replace(motion, baseline=values, moved=frozenset(), returned=frozenset())


def baseline_position(motion: LinkMotion, links: Sequence[LinkState]) -> Position:
    """Return the baseline with units, as it is stored: after a restart it shows which links moved."""
    return _position(motion.baseline, links)


def is_unmoved(links: Sequence[LinkState], before: Sequence[LinkState]) -> bool:
    """Return whether every link is within its tolerance of where it was before."""
    return is_at(links, _position({link.name: link.value for link in before if link.value is not None}, before))


def is_at_model(links: Sequence[LinkState], position: Position | None, joints: Collection[str]) -> bool:
    """Return whether every link that is no joint of a model is where the model was calibrated."""
    return is_at([link for link in links if link.name not in joints], {} if position is None else position)


def is_at(links: Sequence[LinkState], position: Position | None) -> bool:
    """Return whether every link is within its tolerance of a position."""
    return position is not None and all(
        (value := calibrated_value(link, position)) is not None
        and link.value is not None
        and is_within(link, link.value, value)
        for link in links
    )


def _position(values: Mapping[str, float], links: Sequence[LinkState]) -> Position:
    return {link.name: {"value": values[link.name], "units": link.units} for link in links if link.name in values}
