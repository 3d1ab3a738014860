"""Before which exposures the guard waits for links at rest: never before a dark frame, which has no geometry."""

from typing import Any

from bluesky.utils import Msg

DARK = "dark"
"""The stream of dark frames, and part of the group of triggers that take one."""

_BUNDLED = "trigger-"
"""Begin of the groups of bluesky's `trigger_and_read`, which creates its event right after the wait."""


def takes_dark(msg: Msg) -> bool:
    """Return whether the group of a trigger is that of a dark frame, as bluesky-darkframes requires of its plans."""
    return DARK in str(group_of(msg))


def names_stream_next(msg: Msg) -> bool:
    """Return whether a trigger is one of `trigger_and_read`, so that the `create` after it names the stream."""
    return str(group_of(msg)).startswith(_BUNDLED)


def group_of(msg: Msg) -> Any:
    """Return the group of a `trigger` or `wait` message; None if it has none."""
    return msg.kwargs["group"] if "group" in msg.kwargs else next(iter(msg.args), None)


def stream_of(msg: Msg) -> str:
    """Return the name of the stream of a `create` message."""
    return msg.kwargs["name"] if "name" in msg.kwargs else msg.args[0]


class HeldExposure:
    """The triggers of one `trigger_and_read`, and the wait for them, held back until its stream is known.

    Parameters
    ----------
    msg
        The first trigger.
    """

    def __init__(self, msg: Msg) -> None:
        self.messages = [msg]
        self._group, self._is_complete = group_of(msg), False

    def takes(self, msg: Msg) -> bool:
        """Hold a message back if it belongs to this exposure; return whether it does."""
        if self._is_complete or msg.command not in ("trigger", "wait") or group_of(msg) != self._group:
            return False
        self.messages.append(msg)
        self._is_complete = msg.command == "wait"
        return True

    def is_dark(self, following: Msg) -> bool:
        """Return whether the message that follows makes the exposure an event of the stream of dark frames."""
        return self._is_complete and following.command == "create" and stream_of(following) == DARK
