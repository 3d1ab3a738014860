"""The gate that each put passes, over whichever protocol it came: access rules, refusals, put log."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.errors import PonikeeperError
from ponikeeper.protocol import Result
from ponikeeper.putlog.entry import Outcome, Put

log = logging.getLogger(__name__)

RecordPut = Callable[[Put], Awaitable[None]]
"""Records a put before it is answered."""

OnDenied = Callable[[str, ClientIdentity], None]
"""Called with the PV and the client of each put that the rules deny."""


class Target(Protocol):
    """What a client puts to."""

    def read_only_because(self, name: str) -> str | None:
        """Return why no client may ever put it; None if the access rules decide."""
        ...

    def present(self) -> object:
        """Return the present value, as the put log has it."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A put as it arrived.

    Parameters
    ----------
    name
        The PV, as the client calls it.
    value
        As received.
    identity
        The client, as it was when the put arrived.
    is_allowed
        Whether it was allowed to write then.
    """

    name: str
    value: Any
    identity: ClientIdentity
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a put, and the reason unless it was accepted."""

    outcome: Outcome
    reason: str = ""
    result: Result | None = None


class Gate:
    """Runs the puts that may be made, and records all of them.

    Parameters
    ----------
    on_denied
        Called with the PV and the client of each put that the rules deny.
    record_put
        Records each put before it is answered; None without a put log.
    """

    def __init__(
        self,
        on_denied: OnDenied = lambda name, identity: None,  # noqa: ARG005
        record_put: RecordPut | None = None,
    ) -> None:
        self._on_denied, self._record_put = on_denied, record_put

    async def execute(self, target: Target, attempt: Attempt, run: Callable[[], Awaitable[Result | None]]) -> Verdict:
        """Run a put if its client may make it.

        Parameters
        ----------
        target
            What it is put to.
        attempt
            The put.
        run
            Runs it; raises `PonikeeperError` with the reasons if it is refused.

        Returns
        -------
        Verdict
            Recorded already.
        """
        if self._record_put is None:
            return await self._run(target, attempt, run)
        old = target.present()
        verdict = await self._run(target, attempt, run)
        who = attempt.identity
        await self._record_put(
            Put(
                time.time(), who.user, who.host, who.address, attempt.name, attempt.value, old, verdict.outcome,
                verdict.reason, verdict.result,
            )
        )  # fmt: skip
        return verdict

    async def _run(self, target: Target, attempt: Attempt, run: Callable[[], Awaitable[Result | None]]) -> Verdict:
        if not attempt.is_allowed:
            reason = target.read_only_because(attempt.name)
            if reason is not None:
                return Verdict("refused", reason)
            self._on_denied(attempt.name, attempt.identity)
            return Verdict("denied", f"{attempt.name} may not be written from here: the access rules forbid it")
        try:
            return Verdict("accepted", result=await run())
        except PonikeeperError as problem:
            return Verdict("refused", str(problem))
        except Exception as problem:  # every put must be answered
            log.exception("put to %s failed", attempt.name)
            return Verdict("refused", str(problem))
