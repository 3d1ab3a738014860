"""Coroutines that begin at once: most handlers do not wait, and need no task."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


def run_eagerly(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """Run a coroutine until it waits for the first time, and the rest as a task.

    What it runs before it waits must not ask for the current task.

    Parameters
    ----------
    coroutine
        The coroutine, not started.
    loop
        The running loop.

    Returns
    -------
    asyncio.Task or None
        The task of the rest; None if the coroutine has ended.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return loop.create_task(_rest(coroutine, waits_for))


async def _rest(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
    """Run the rest of a coroutine, from what it waits for."""
    await _continued(coroutine, waits_for)


@types.coroutine
def _continued(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            value = yield waits_for
        except BaseException as error:  # noqa: BLE001  # a cancellation, too, belongs to the coroutine
            step, argument = coroutine.throw, error
        else:
            step, argument = coroutine.send, value
        try:
            waits_for = step(argument)
        except StopIteration:
            return
