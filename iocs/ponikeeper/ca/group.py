"""The PVs of one detector: built from the contract, puts made into transactions, states shown."""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ponikeeper import poni, strictjson
from ponikeeper.ca.channels import Handler, Origin, make_channel
from ponikeeper.ca.linked import Linked
from ponikeeper.ca.view import (
    Shown,
    activation_values,
    geometry_values,
    list_text,
    selected_text,
    transaction_values,
)
from ponikeeper.config import Detector
from ponikeeper.contract import DETECTOR_PVS, setpoint, staged
from ponikeeper.errors import MessageError, PoniError, RefusedError, StoreError
from ponikeeper.geometry import value_problem
from ponikeeper.keeper import Keeper
from ponikeeper.messages import Activate, Commit, Request, links_json, parse_request, require_whole
from ponikeeper.parameters import NAMES
from ponikeeper.state import State

log = logging.getLogger(__name__)

_MANUAL = {"method": "manual"}
_WINDOW = 60
"""Revisions that are read around the selected one; as many are shown as fit the PV."""

_LINKS_PERIOD = 0.1
"""Seconds between two updates of the links: a motor says more than anybody can look at."""

Transaction = Callable[[Any, Origin], Awaitable[None]]


class Group:
    """The PVs of one detector; `links` takes up what the linked PVs say.

    Parameters
    ----------
    detector
        Its part of the configuration.
    keeper
        Who runs its transactions.
    """

    def __init__(self, detector: Detector, keeper: Keeper) -> None:
        self._keeper = keeper
        self.links = Linked(detector.link, detector.settle)
        self._limits = detector.limits
        self._staged: dict[str, object] = {}
        self._staged_on = 0
        self._selected = 0
        self._history_changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        handlers = self._handlers()
        self._channels = {pv.suffix: make_channel(pv, handlers.get(pv.suffix)) for pv in DETECTOR_PVS}
        self.pvdb = {detector.prefix + suffix: channel for suffix, channel in self._channels.items()}
        keeper.on_publish(self.publish)
        keeper.on_look(self.links.states)

    async def publish(self, state: State) -> None:
        """Show a state: the single PVs first, then snapshot and serial, the results last."""
        stamp = _timestamp(state) if state.changed else time.time()
        if state.changed:
            shown = activation_values(state)
            last = {suffix: shown.pop(suffix) for suffix in ("Snapshot_RBV", "Serial_RBV")}
            await self._show(shown, stamp)
            await self._show_links()
            await self._show_setpoints(state, stamp)
            await self._show(last, stamp)
        await self._show(transaction_values(state), stamp)

    async def start(self) -> None:
        """Show what is in force before the first client comes."""
        await self.publish(replace(self._keeper.state, changed=True))
        await self._show_stage()  # what may have been shown later than the activation before a restart
        await self._show(transaction_values(self._keeper.state), time.time())
        await self._show_history(time.time())
        self._tasks = [asyncio.create_task(follow()) for follow in (self._follow_history, self._follow_links)]

    def _handlers(self) -> Mapping[str, Handler]:
        """Name what a put to each writable PV does."""
        handlers: dict[str, Handler] = {
            "DetectorConfig": self._on(self._put_config, setpoint("detector_config")),
            "Request": self._on(self._put_request, "Request"),
            "Poni": self._on(self._put_poni, "Poni"),
            "Activate": self._on(self._put_activate, "Activate"),
            "Stage:Apply": self._on(self._apply, "Stage:Apply"),
            "Stage:Clear": self._on(self._clear, "Stage:Clear"),
            "History:Select": self._on(self._select, "History:Select"),
        }
        for name in NAMES:
            handlers[setpoint(name)] = self._on(functools.partial(self._put_value, name), setpoint(name))
            handlers[staged(name)] = self._on(functools.partial(self._put_staged, name), staged(name))
        return handlers

    def _on(self, transaction: Transaction, suffix: str) -> Handler:
        """Wrap a transaction: unreadable input is refused, and afterwards the PV shows what holds."""

        async def handle(value: Any, origin: Origin) -> None:
            try:
                if isinstance(value, Exception):
                    await self._refuse((f"{suffix}: {value}",))
                await transaction(value, origin)
            except RefusedError:
                raise
            except Exception as error:
                # a defect of ours: whoever put has to hear of it all the same
                log.exception("put to %s", suffix)
                await self._refuse((f"{suffix}: this could not be judged ({type(error).__name__}: {error})",))
            finally:
                await self._show_setpoint(suffix)

        return handle

    async def _put_value(self, name: str, value: Any, origin: Origin) -> None:
        await self._execute(Commit({name: value}, _MANUAL, position="now", derived=True), origin)

    async def _put_config(self, text: bytes, origin: Origin) -> None:
        try:
            require_whole(text, "detector_config")
            config = strictjson.loads(text.decode("utf-8"))
        except MessageError as error:
            await self._refuse(error.problems)
            return
        except ValueError as error:
            await self._refuse((f"DetectorConfig is no JSON: {error}",))
            return
        await self._put_value("detector_config", config, origin)

    async def _put_request(self, text: bytes, origin: Origin) -> None:
        try:
            request = parse_request(text)
        except MessageError as error:
            await self._refuse(error.problems, error.op or "commit", error.request)
            return
        await self._execute(request, origin)

    async def _put_poni(self, text: bytes, origin: Origin) -> None:
        try:
            require_whole(text, "PONI")
            geometry = poni.read(text)
        except (MessageError, PoniError) as error:
            await self._refuse(error.problems)
            return
        await self._execute(Commit(geometry.as_dict(), {"method": "poni"}, inherit=False), origin)

    async def _put_activate(self, text: str, origin: Origin) -> None:
        text = text.strip()
        if not text:
            await self._refuse(("Activate is empty: expected a revision number or a label",), "activate")
        await self._execute(Activate(int(text) if text.isascii() and text.isdigit() else text), origin)

    async def _put_staged(self, name: str, value: Any, origin: Origin) -> None:  # noqa: ARG002
        problem = value_problem(name, value, self._limits)
        if problem is not None:
            await self._refuse((problem,))
        if not self._staged:
            self._staged_on = self._revision()
        self._staged[name] = value
        await self._show_stage()

    async def _apply(self, state: str, origin: Origin) -> None:
        if state != "Do":
            return
        if not self._staged:
            await self._refuse(("nothing is staged: put values to the Stage: fields first",))
        applied = dict(self._staged)
        if self._staged_on != self._revision():
            await self._refuse(
                (
                    f"revision {self._revision()} came into force since the first staged value "
                    f"(revision {self._staged_on} was then): look at it, then Stage:Clear and stage anew",
                )
            )
        commit = Commit(applied, _MANUAL, position="now", derived=True, expect_revision=self._staged_on)
        await self._execute(commit, origin)
        self._staged = {name: value for name, value in self._staged.items() if applied.get(name) != value}
        await self._show_stage()

    async def _clear(self, state: str, origin: Origin) -> None:  # noqa: ARG002
        if state == "Do":
            self._staged = {}
            await self._show_stage()

    async def _select(self, number: Any, origin: Origin) -> None:  # noqa: ARG002
        if not 0 <= number <= self._keeper.state.count:
            raise RefusedError(
                f"there is no revision {number}: expected 1 to {self._keeper.state.count}, or 0 for the one in force"
            )
        self._selected = int(number)
        await self._show_history(time.time())

    async def _execute(self, request: Request, origin: Origin) -> None:
        result = await self._keeper.execute(request, str(origin))
        if result.outcome != "accepted":
            raise RefusedError(result.errors)
        self._history_changed.set()

    async def _refuse(self, problems: tuple[str, ...], op: str = "commit", request: str | None = None) -> None:
        result = await self._keeper.refuse(problems, op, request)
        raise RefusedError(result.errors)

    def _revision(self) -> int:
        revision = self._keeper.state.revision
        return 0 if revision is None else revision.number

    async def _show(self, values: Mapping[str, Shown], stamp: float) -> None:
        for suffix, shown in values.items():
            await self._channels[suffix].show(shown.value, stamp, shown.severity, shown.status)

    async def _show_setpoints(self, state: State, stamp: float) -> None:
        """Let the setpoints follow what is in force, and the stage where nobody has touched it."""
        values = geometry_values(state.revision and state.revision.geometry)
        await self._show({setpoint(name): shown for name, shown in values.items()}, stamp)
        untouched = {staged(name): values[name] for name in NAMES if name not in self._staged}
        await self._show(untouched, stamp)

    async def _show_setpoint(self, suffix: str) -> None:
        """Put a written PV back to what holds now."""
        state = self._keeper.state
        values = geometry_values(state.revision and state.revision.geometry)
        setpoints = {setpoint(name): shown for name, shown in values.items()}
        if suffix in setpoints:
            await self._show({suffix: setpoints[suffix]}, _timestamp(state))
            return
        by_suffix = self._stage_values() | {
            "Stage:Apply": Shown("Idle"),
            "Stage:Clear": Shown("Idle"),
            "History:Select": Shown(self._selected),
        }
        await self._show({suffix: by_suffix.get(suffix, Shown(""))}, time.time())

    async def _show_stage(self) -> None:
        await self._show(self._stage_values(), time.time())
        await self._show({"Stage:Dirty_RBV": Shown("Dirty" if self._staged else "Clean")}, time.time())

    def _stage_values(self) -> dict[str, Shown]:
        """Show, by suffix, what is staged, and what is in force where nothing is."""
        revision = self._keeper.state.revision
        values = geometry_values(revision and revision.geometry)
        values |= {name: Shown(value) for name, value in self._staged.items()}  # type: ignore[arg-type]
        return {staged(name): values[name] for name in NAMES}

    async def _follow_links(self) -> None:
        """Show the links after each change, the last one always, but not more often than anybody can look."""
        while True:
            rest = self.links.next_rest()
            await self._show_links()
            await asyncio.sleep(_LINKS_PERIOD)
            await self.links.change(rest)

    async def _show_links(self) -> None:
        await self._show({"Links_RBV": Shown(links_json(self._keeper.links()))}, time.time())

    async def _follow_history(self) -> None:
        """Show the history after each change, behind the acknowledgement: it takes longer than the commit."""
        while True:
            await self._history_changed.wait()
            self._history_changed.clear()
            await self._show_history(_timestamp(self._keeper.state))

    async def _show_history(self, stamp: float) -> None:
        """Show the selected revision, or the one in force, and those around it."""
        number = self._selected or self._revision()
        try:
            revisions = await self._keeper.revisions(number - _WINDOW // 2, number + _WINDOW // 2)
        except StoreError as error:
            await self._show({"Message_RBV": Shown(f"the history cannot be read: {error}")}, time.time())
            return
        chosen = [revision for revision in revisions if revision.number == number]
        await self._show(
            {
                "History:Selected_RBV": Shown(selected_text(chosen[0]) if chosen else ""),
                "History:List_RBV": Shown(list_text(revisions, number)),
            },
            stamp,
        )


def _timestamp(state: State) -> float:
    """Give the instant of the activation in force (s since 1970); now, where there is none."""
    return time.time() if state.activation is None else datetime.fromisoformat(state.activation.time).timestamp()
