"""When the links have moved to another place, and which geometry belongs there: pure.

A link has moved when it was seen beyond its tolerance of where it rested. One that was not to be seen
may be anywhere when it is back: it has moved, or has not, and nothing follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ponikeeper.links import calibrated_value
from ponikeeper.messages import LinkState, Position, is_within


@dataclass(frozen=True, slots=True)
class Travel:
    """What the links have done since it was last considered which geometry belongs to where they rest.

    Parameters
    ----------
    rested
        Where each of them rested then, or stood when it came back.
    seen
        Links that were seen since the start; before that what a store kept holds.
    away
        Links that moved since.
    back
        Links that came back since, from where nobody saw what they did.
    """

    rested: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    seen: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    back: frozenset[str] = frozenset()


def begun(links: Sequence[LinkState], rested: Position) -> Travel:
    """Take up what was kept before a restart: what moved in between has moved."""
    return Travel({link.name: value for link in links if (value := calibrated_value(link, rested)) is not None})


def gone_on(travel: Travel, links: Sequence[LinkState]) -> Travel:
    """Take up where the links stand now."""
    rested = dict(travel.rested)
    seen, away, back = set(travel.seen), set(travel.away), set(travel.back)
    for link in links:
        if link.value is None or not link.connected:
            if link.name in seen:
                seen.discard(link.name)
                away.discard(link.name)
                rested.pop(link.name, None)
            continue
        seen.add(link.name)
        if link.name not in rested:
            rested[link.name] = link.value
            back.add(link.name)
        elif not is_within(link, link.value, rested[link.name]):
            away.add(link.name)
    return Travel(rested, frozenset(seen), frozenset(away), frozenset(back))


def has_arrived(travel: Travel, links: Sequence[LinkState]) -> bool:
    """Tell whether it is to be considered which geometry belongs to where the links rest now."""
    return bool(travel.away or travel.back) and not any(link.doubt for link in links)


def arrived(travel: Travel, links: Sequence[LinkState]) -> Travel:
    """Take up that it was considered; the links rest where they stand."""
    stand = {link.name: link.value for link in links if link.value is not None}
    return replace(travel, rested=stand, away=frozenset(), back=frozenset())


def rested_position(travel: Travel, links: Sequence[LinkState]) -> Position:
    """Give what a store has to keep, so that after a restart it is known what moved."""
    return {
        link.name: {"value": travel.rested[link.name], "units": link.units}
        for link in links
        if link.name in travel.rested
    }


def is_there(links: Sequence[LinkState], position: Position | None) -> bool:
    """Tell whether every link stands within its tolerance of a position."""
    return position is not None and all(
        (stood := calibrated_value(link, position)) is not None
        and link.value is not None
        and is_within(link, link.value, stood)
        for link in links
    )
