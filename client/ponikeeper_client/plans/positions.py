"""Where the linked PVs stood while an image was taken."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import bluesky.plan_stubs as bps

from ponikeeper.errors import CalibrationError
from ponikeeper_client._motion import Links, moves
from ponikeeper_client.device import CalibrationData

_PATIENCE = 30.0
"""Seconds for which a motion is waited for."""

_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """Where the links stood.

    Parameters
    ----------
    values
        By name, in the links' units; ``"unknown"`` where it cannot be told.
    why
        Why it is unknown.
    """

    values: dict[str, float] | Literal["unknown"]
    why: str = ""


def position_of(seen: Sequence[Links]) -> Position:
    """Tell where the links stood during an exposure. Pure.

    Parameters
    ----------
    seen
        Where they stood, as often as it was told: when it began, at each change, when it ended.

    Raises
    ------
    CalibrationError
        One of them moved: the image belongs to no position.
    """
    if moved := moves(seen):
        raise CalibrationError(f"{text}: the image belongs to no position; calibrate again" for text in moved.values())
    doubts = dict.fromkeys(doubt for links in seen for link in links if (doubt := link.doubt))
    if doubts:
        return Position("unknown", "; ".join(doubts))
    return Position({link.name: link.value for link in seen[-1] if link.value is not None})


def rested(calibs: Sequence[CalibrationData]) -> Generator[Any, Any, None]:
    """Wait until no link is in motion: what a plan has just moved has to settle first.

    Raises
    ------
    CalibrationError
        One moves still after 30 s.
    """
    deadline = time.monotonic() + _PATIENCE
    while moving := [link for calib in calibs for link in calib.read_links() if link.moving]:
        if time.monotonic() > deadline:
            link = moving[0]
            raise CalibrationError(
                f"{link.name} ({link.pv}) is in motion, after {_PATIENCE:g} s still: "
                "wait until it rests, and calibrate again"
            )
        yield from bps.sleep(_PAUSE)
