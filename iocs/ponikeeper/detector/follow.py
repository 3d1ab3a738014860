"""When the links have moved to another place, and which geometry belongs there: pure.

A link has moved when it was seen beyond its tolerance of where it rested. One that was not to be seen
may be anywhere when it is back: it has moved, or has not, and nothing follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ponikeeper.detector.link_rules import calibrated_value
from ponikeeper.history import Position
from ponikeeper.protocol import LinkState, is_within


@dataclass(frozen=True, slots=True)
class Travel:
    """What the links have done since it was last considered which geometry belongs to where they rest.

    Parameters
    ----------
    rested
        Where each of them rested then, or stood when it came back.
    steady
        Links that were seen at rest since the start, or since they came back: before that their values may be
        those with which a server begins.
    away
        Links that moved since.
    back
        Links that came back since, from where nobody saw what they did.
    """

    rested: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    steady: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    back: frozenset[str] = frozenset()


def begun(links: Sequence[LinkState], rested: Position) -> Travel:
    """Take up what was kept before a restart: what moved in between has moved."""
    return Travel({link.name: value for link in links if (value := calibrated_value(link, rested)) is not None})


def gone_on(travel: Travel, links: Sequence[LinkState]) -> Travel:
    """Take up where the links stand now."""
    rested = dict(travel.rested)
    steady, away, back = set(travel.steady), set(travel.away), set(travel.back)
    for link in links:
        name = link.name
        if link.value is None or not link.connected:
            if name in steady:
                steady.discard(name)
                away.discard(name)
                rested.pop(name, None)
            continue
        if name not in steady and link.moving is not False:
            continue
        steady.add(name)
        if name not in rested:
            rested[name] = link.value
            back.add(name)
        elif not is_within(link, link.value, rested[name]):
            away.add(name)
    return Travel(rested, frozenset(steady), frozenset(away), frozenset(back))


def has_arrived(travel: Travel, links: Sequence[LinkState]) -> bool:
    """Tell whether it is to be considered which geometry belongs to where the links rest now."""
    return bool(travel.away or travel.back) and not any(link.doubt for link in links)


def arrived(travel: Travel, links: Sequence[LinkState]) -> Travel:
    """Take up that it was considered; the links rest where they stand."""
    stand = {link.name: link.value for link in links if link.value is not None}
    return replace(travel, rested=stand, away=frozenset(), back=frozenset())


def rested_position(travel: Travel, links: Sequence[LinkState]) -> Position:
    """Give what a store has to keep, so that after a restart it is known what moved."""
    return _position(travel.rested, links)


def is_still_there(links: Sequence[LinkState], before: Sequence[LinkState]) -> bool:
    """Tell whether every link stands where it stood before."""
    return is_there(links, _position({link.name: link.value for link in before if link.value is not None}, before))


def is_there(links: Sequence[LinkState], position: Position | None) -> bool:
    """Tell whether every link stands within its tolerance of a position."""
    return position is not None and all(
        (stood := calibrated_value(link, position)) is not None
        and link.value is not None
        and is_within(link, link.value, stood)
        for link in links
    )


def _position(values: Mapping[str, float], links: Sequence[LinkState]) -> Position:
    return {link.name: {"value": values[link.name], "units": link.units} for link in links if link.name in values}
