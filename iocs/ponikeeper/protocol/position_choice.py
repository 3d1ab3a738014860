"""Which position a geometry from a file is committed with: as the options say, as a person answers, or unknown."""

from collections.abc import Callable, Sequence
from typing import Literal, cast

from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.protocol.link_values import is_within, quantity
from ponikeeper.protocol.links import LinkState, in_service, position_now

PositionWord = Literal["now", "unknown"]

Ask = Callable[[str], bool | None]
"""Asks a person a question, and returns whether the answer is yes; None where it was not answered."""

_REFUSED = "nothing was committed: wait until the links are at rest, or give --no-position"


def given_position(here: bool, no_position: bool) -> PositionWord | None:
    """Return the position that options ask for.

    Parameters
    ----------
    here, no_position
        Whether ``--here`` and ``--no-position`` are given.

    Returns
    -------
    str or None
        None where neither is given.

    Raises
    ------
    ConfigError
        Both are given.
    """
    if here and no_position:
        raise ConfigError(
            "--here and --no-position contradict each other: give --here if the geometry was calibrated where the "
            "links are now, --no-position if not"
        )
    return "now" if here else "unknown" if no_position else None


def choose_position(
    given: PositionWord | None, read_links: Callable[[], Sequence[LinkState]], ask: Ask | None
) -> PositionWord:
    """Choose the position of a geometry that comes from a file.

    Nothing is claimed that no person said: without an answer the position is unknown. The present one is not replaced
    by an unknown one, unless every link is out of service. An answer counts only for the
    position that the question showed; if the links have moved meanwhile, the question is asked again.

    Parameters
    ----------
    given
        As the options say; None if they do not.
    read_links
        Returns the links as they are now.
    ask
        Asks a person; None where there is none.

    Returns
    -------
    str
        ``"now"`` or ``"unknown"``.

    Raises
    ------
    RefusedError
        The present position is asked for and cannot be recorded, or the question was not answered, or answered so that
        nothing is to be committed.
    """
    if given == "now":
        if reasons := _reasons(read_links()):
            raise RefusedError(f"the position cannot be recorded now: {'; '.join(reasons)}: {_REFUSED}")
        return "now"
    if given is not None or ask is None:
        return "unknown"
    links = read_links()
    while links:
        if position_now(links) is None:
            if _answer(ask, unknown_question(links)):
                return "unknown"
            raise RefusedError(_REFUSED)
        if not _answer(ask, position_question(links)):
            return "unknown"
        shown, links = links, read_links()
        if _agree(shown, links):
            return "now"
    return "unknown"


def position_question(links: Sequence[LinkState]) -> str:
    """Format the question for the position.

    Parameters
    ----------
    links
        All of the detector; those in service are at rest.

    Returns
    -------
    str
        Their names, PVs and values, which of them are out of service and therefore not recorded, and the question, to
        be answered by yes or no.
    """
    used = in_service(links)
    values = ", ".join(f"{link} {quantity(cast('float', link.value), link.units)}" for link in used)
    others = [f"\nNot recorded: {link} is {link.out_of_service}" for link in links if link not in used]
    return f"The links are at: {values}{''.join(others)}\nWas this geometry calibrated at this position?"


def unknown_question(links: Sequence[LinkState]) -> str:
    """Format the question whether to commit without a position; parameters as `position_question`."""
    reasons = _reasons(links)
    reasons += [] if in_service(links) else [f"{link} is {link.out_of_service}" for link in links]
    return f"The position cannot be recorded now: {'; '.join(reasons)}\nCommit this geometry without a position?"


def _reasons(links: Sequence[LinkState]) -> list[str]:
    """Return why the values of links in service are unknown; none where every link is out of service."""
    return [link.unknown_because for link in in_service(links) if link.unknown_because is not None]


def _answer(ask: Ask, question: str) -> bool:
    answer = ask(question)
    if answer is None:
        raise RefusedError("nothing was committed: the question was not answered; expected --here or --no-position")
    return answer


def _agree(shown: Sequence[LinkState], links: Sequence[LinkState]) -> bool:
    """Return whether links are at rest where they were shown."""
    before, now = position_now(shown), position_now(links)
    if not before or not now or before.keys() != now.keys():
        return False
    return all(is_within(link, now[link.name], before[link.name]) for link in in_service(shown))
