"""Channel names: record, field, ``$`` for a long string, and channel filters. Pure.

The filters are those of EPICS base that a server without states can apply: ``arr`` (also as ``[start:step:end]``),
``dbnd``, ``dec`` and ``ts``. Every other name or option is refused when the channel is created.
"""

import json
import re
import sys
from dataclasses import dataclass
from typing import Any

from ponikeeper.errors import PonikeeperError

MAX_NAME = 500
"""Longest name with its filters (bytes); that of a record is much shorter."""

_SHORTHAND = re.compile(r"\[(-?\d{0,9})(?::(-?\d{0,9}))?(?::(-?\d{0,9}))?\]")


class ChannelNameError(PonikeeperError, ValueError):
    """The name of a channel has a modifier that is not served."""


@dataclass(frozen=True, slots=True)
class Elements:
    """A part of an array: every `step`-th element from `start` to `end`; negative numbers count from the end."""

    start: int = 0
    step: int = 1
    end: int = -1

    def of(self, length: int) -> range:
        """Return the indices in an array of some length."""
        start = max(self.start + length if self.start < 0 else self.start, 0)
        end = min(self.end + length if self.end < 0 else self.end, length - 1)
        return range(start, end + 1, self.step)


@dataclass(frozen=True, slots=True)
class Modifiers:
    """What the modifiers of a name change.

    Parameters
    ----------
    long_string
        Whether a string is sent as an array of characters (``$``).
    elements
        The part of the array that is sent; None for all of it.
    deadband
        An update is sent if the value differs from the last one that was sent by more than this; None for every update.
    relative
        Whether the deadband is in percent of the last value that was sent.
    decimate
        Every how manieth update is sent.
    now
        Whether the time is that of sending.
    """

    long_string: bool = False
    elements: Elements | None = None
    deadband: float | None = None
    relative: bool = False
    decimate: int = 1
    now: bool = False


PLAIN = Modifiers()


@dataclass(frozen=True, slots=True)
class ChannelName:
    """A channel name in its parts."""

    record: str
    field: str = ""
    modifiers: Modifiers = PLAIN


def parse_name(name: str) -> ChannelName:
    """Split a channel name into record, field and modifiers.

    Parameters
    ----------
    name
        Such as ``PREFIX:Reason_RBV.VAL$`` or ``PREFIX:Dist_RBV.{"dbnd":{"abs":1e-5}}``.

    Returns
    -------
    ChannelName
        The parts; the field is empty where the name has none.

    Raises
    ------
    ChannelNameError
        A filter is unknown or impossible, or the name has control characters.
    """
    if not name.isprintable():
        raise ChannelNameError("the name has control characters")
    record, dot, rest = name.partition(".")
    if not dot:
        return ChannelName(record)
    if len(name) > MAX_NAME:
        raise ChannelNameError(f"the name has {len(name)} characters: expected at most {MAX_NAME}")
    match = re.match(r"[A-Za-z0-9_]*", rest)
    text = "" if match is None else match[0]
    rest = rest[len(text) :]
    return ChannelName(record, "" if text == "VAL" else text, _modifiers(rest))


def _modifiers(text: str) -> Modifiers:
    if not text:
        return PLAIN
    long_string = text.startswith("$")
    return Modifiers(long_string, **_filters(text[1:] if long_string else text))


def _filters(text: str) -> dict[str, Any]:
    if not text:
        return {}
    match = _SHORTHAND.fullmatch(text)
    if match and text != "[]":
        return {"elements": _shorthand(*match.groups())}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        raise ChannelNameError(f"{text[:40]!a} is not a channel filter") from None
    if not isinstance(options, dict):
        raise ChannelNameError(f"{text[:40]!a} is not a channel filter")
    filters: dict[str, Any] = {}
    for name, option in options.items():
        if name not in _PARSERS:
            raise ChannelNameError(f"there is no filter {name[:40]!a}: expected {', '.join(_PARSERS)}")
        if not isinstance(option, dict):
            raise ChannelNameError(f"the filter {name} needs an object")
        filters |= _PARSERS[name](option)
    return filters


def _shorthand(first: str, second: str | None, third: str | None) -> Elements:
    """Read ``[index]``, ``[start:end]`` or ``[start:step:end]``; a step below 1 is 1, as in EPICS base."""
    start = int(first or 0)
    if second is None:
        return Elements(start, 1, start)
    if third is None:
        return Elements(start, 1, int(second or -1))
    return Elements(start, max(int(second or 1), 1), int(third or -1))


def _array(options: dict[str, Any]) -> dict[str, Any]:
    _require(options, "arr", "s", "i", "e")
    start, step, end = (_whole(options.get(key, default)) for key, default in (("s", 0), ("i", 1), ("e", -1)))
    return {"elements": Elements(start, max(step, 1), end)}


def _deadband(options: dict[str, Any]) -> dict[str, Any]:
    _require(options, "dbnd", "abs", "rel", "m", "d")
    if "d" in options:
        relative, band = options.get("m", "abs") == "rel", options["d"]
    elif len(options) == 1:
        ((mode, band),) = options.items()
        relative = mode == "rel"
    else:
        raise ChannelNameError("the filter dbnd needs abs, rel, or m and d")
    if isinstance(band, bool) or not isinstance(band, int | float) or not 0 <= band <= sys.float_info.max:
        raise ChannelNameError("the deadband is not a number from 0 on")
    return {"deadband": float(band), "relative": relative}


def _decimation(options: dict[str, Any]) -> dict[str, Any]:
    _require(options, "dec", "n")
    count = _whole(options.get("n", 0))
    if count < 1:
        raise ChannelNameError("the filter dec needs n from 1 on")
    return {"decimate": count}


def _timestamp(options: dict[str, Any]) -> dict[str, Any]:
    _require(options, "ts")
    return {"now": True}


_PARSERS = {"arr": _array, "dbnd": _deadband, "dec": _decimation, "ts": _timestamp}


def _require(options: dict[str, Any], name: str, *keys: str) -> None:
    unknown = options.keys() - set(keys)
    if unknown:
        raise ChannelNameError(f"the filter {name} has no option {', '.join(sorted(unknown))[:40]!a}")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 10**9:
        raise ChannelNameError(f"{str(value)[:40]!a} is not a whole number")
    return value
