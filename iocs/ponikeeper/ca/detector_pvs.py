"""The PVs of one detector: built from the contract; puts become requests, states are published."""

import asyncio
import functools
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ponikeeper.ca.channels import Clock, PutHandler, make_channel
from ponikeeper.ca.history_pvs import HistoryPVs, label_timestamp, timestamp
from ponikeeper.ca.label_pvs import LabelPVs
from ponikeeper.ca.push import Pusher
from ponikeeper.ca.puts import Puts
from ponikeeper.ca.pv_values import (
    PVValue,
    activation_values,
    geometry_value,
    geometry_values,
    label_values,
    setpoint_values,
    since_value,
    status_values,
    transaction_values,
)
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.ca.stage import Stage
from ponikeeper.config import Detector
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.errors import RefusedError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import LinkState, Result, links_json
from ponikeeper.protocol.pvs import ALIVE, DETECTOR_PVS, Kind, setpoint, staged
from ponikeeper.protocol.text_tables import links_text
from ponikeeper.store.store_thread import StoreThread
from ponikeeper.text import timestamps

log = logging.getLogger(__name__)

_SETPOINTS = {setpoint(name): name for name in (*NAMES, "detector_config")}
"""Names of the values by the suffixes of their setpoints."""

_PARAMETERS = _SETPOINTS | {staged(name): name for name in NAMES}
"""Names of the values by the suffixes of their setpoints and staged edits."""

_SWITCH_STATES = {False: "Off", True: "On"}

_BY_FORMER_PREFIX = ("History:Read", "History:Read_RBV")
"""PVs that are also served by the prefixes that a detector had before."""

_BEAT = 1.0
"""Seconds between two updates of ``Alive_RBV``."""

_SINCE_PERIOD = 5.0
"""Seconds between two updates of ``Since_RBV``, whose text has minutes."""

_LINKS_PERIOD = 0.1
"""Seconds between two updates of the links: a motor updates faster than a person can read."""


class DetectorPVs:
    """The PVs of one detector.

    Parameters
    ----------
    detector
        Its part of the configuration.
    keeper
        Runs its requests.
    links
        The PVs that its geometry depends on.
    store
        The store of its history.
    former
        PV prefixes that the detector had before: what runs recorded is looked up by them.
    """

    def __init__(
        self, detector: Detector, keeper: Keeper, links: LinkStates, store: StoreThread, former: Sequence[str] = ()
    ) -> None:
        self.keeper = keeper
        """Runs the requests."""
        self._links = links
        self._severities = detector.severities()
        self.puts = Puts(keeper)
        """Runs and refuses requests of clients."""
        self._stage = Stage(self.puts, detector.limits)
        self._dirty = ""
        self._history = HistoryPVs(keeper, store, self._publish)
        self._labels = LabelPVs(keeper, self.puts, store, self._publish_changes)
        handlers = self._handlers()
        self._channels = {pv.suffix: make_channel(pv, handlers.get(pv.suffix)) for pv in DETECTOR_PVS}
        self._alive = self._channels["Alive_RBV"] = Clock(ALIVE)
        self.pvdb = {prefix + suffix: self._channels[suffix] for prefix in former for suffix in _BY_FORMER_PREFIX}
        # last, so that these are the names that the put log has
        self.pvdb |= {detector.prefix + suffix: channel for suffix, channel in self._channels.items()}
        self.pusher = Pusher(detector.push_targets(), lambda values: self._publish_changes(values, time.time()))
        """Writes to the PVs of the detector's driver."""
        keeper.on_publish(self.publish)

    def publish(self, state: DetectorState, change: Change) -> None:
        """Publish a change: the single PVs first, then header, snapshot and serial, the results last."""
        stamp = timestamp(state) if Change.ACTIVATION in change else time.time()
        if Change.ACTIVATION in change:
            values = activation_values(state, self._severities)
            last = {suffix: values.pop(suffix) for suffix in ("Header_RBV", "Snapshot_RBV", "Serial_RBV")}
            self._publish(values, stamp)
            self._publish(label_values(state), label_timestamp(state))
            self._publish(self._link_values(state.link_states), time.time())
            self._publish_since()
            self._publish_setpoints(state, stamp)
            self._publish(last, stamp)
        elif Change.STATUS in change:
            if Change.LABEL in change:
                self._publish(label_values(state), label_timestamp(state))
            self._publish_changes(self._link_values(state.link_states), stamp)
            self._publish(status_values(state, self._severities), stamp)
        if Change.RESULT in change:
            self._publish(transaction_values(state), stamp)
        if Change.FOLLOW in change:
            self._publish({suffix: PVValue(_SWITCH_STATES[state.follow]) for suffix in ("Follow_RBV", "Follow")}, stamp)
        if change & (Change.STATUS | Change.ACTIVATION):
            self.pusher.note(state)
        if Change.REPEATED in change:
            self.pusher.write_again()
        if Change.HISTORY in change or Change.ACTIVATION in change:
            self._history.mark_changed()
            self._labels.mark_changed()

    async def start(self) -> None:
        """Publish the active geometry, before the first client connects."""
        self._alive.beat()
        self.publish(self.keeper.state, Change.ACTIVATION | Change.FOLLOW | Change.RESULT)
        self._publish_stage()  # before a restart it may have been posted later than the activation
        self.pusher.start()
        await self._history.start()
        await self._labels.start()

    async def run(self) -> None:
        """Update the status, follow the links and publish, until cancelled; only a defect ends it with an error."""
        async with asyncio.TaskGroup() as tasks:
            for coroutine in (
                self._history.run,
                self._labels.run,
                self._update_links,
                self._update_since,
                self.keeper.follow_links,
                self._beat,
                self.pusher.run,
            ):
                tasks.create_task(coroutine())

    def _handlers(self) -> Mapping[str, PutHandler]:
        """Return the handler of each writable PV, by suffix."""
        handlers = {
            **self.puts.handlers(),
            **self._history.handlers(),
            **self._labels.handlers(),
            **{staged(name): functools.partial(self._put_staged, name) for name in NAMES},
            "History:Activate": self._activate_selected,
            "Stage:Apply": self._apply,
            "Stage:Clear": self._clear,
        }
        return {suffix: self._on(handler, suffix) for suffix, handler in handlers.items()}

    def _on(self, handler: PutHandler, suffix: str) -> PutHandler:
        """Wrap a handler: unreadable input is refused, and afterwards the PV shows the active value again."""

        async def handle(value: Any, identity: ClientIdentity) -> Result | None:
            try:
                if isinstance(value, Exception):
                    await self.puts.refuse((f"{suffix}: {value}",))
                return await handler(value, identity)
            except RefusedError as error:
                if suffix in _SETPOINTS:
                    self.keeper.note_refused(_SETPOINTS[suffix], str(identity), str(error))
                raise
            except Exception as error:
                # a defect of ours; the client must get an answer all the same
                log.exception("put to %s", suffix)
                await self.puts.refuse((f"{suffix}: this put could not be handled ({type(error).__name__}: {error})",))
            finally:
                self._publish_setpoint(suffix)

        return handle

    async def _put_staged(self, name: str, value: Any, identity: ClientIdentity) -> None:  # noqa: ARG002
        await self._stage.put(name, value, self._revision())
        self._publish_dirty()

    async def _apply(self, state: str, identity: ClientIdentity) -> Result | None:
        if state != "Do":
            return None
        result = await self._stage.apply(self._revision(), identity)
        self._publish_stage()
        return result

    async def _clear(self, state: str, identity: ClientIdentity) -> None:  # noqa: ARG002
        if state == "Do":
            self._stage.clear()
            self._publish_stage()

    def _revision(self) -> int:
        revision = self.keeper.state.revision
        return 0 if revision is None else revision.number

    def _publish(self, values: Mapping[str, PVValue], stamp: float, *, only_changes: bool = False) -> None:
        for suffix, item in values.items():
            self._channels[suffix].post(item.value, stamp, item.severity, item.status, only_changes=only_changes)

    def _publish_changes(self, values: Mapping[str, PVValue], stamp: float) -> None:
        self._publish(values, stamp, only_changes=True)

    def _publish_since(self) -> None:
        now = timestamps.now()
        self._publish_changes({"Since_RBV": since_value(self.keeper.state, now)}, now.timestamp())

    async def _update_since(self) -> None:
        """Publish how long the geometry has been active, whenever its text changes."""
        while True:
            self._publish_since()
            await asyncio.sleep(_SINCE_PERIOD)

    async def _activate_selected(self, state: str, identity: ClientIdentity) -> Result | None:
        return await self.puts.activate(self._history.selected, identity) if state == "Do" else None

    def _publish_setpoints(self, state: DetectorState, stamp: float) -> None:
        """Publish the active values to the setpoints, and to the staged values that were not edited."""
        values = geometry_values(state.revision and state.revision.geometry)
        self._publish({setpoint(name): value for name, value in values.items()}, stamp)
        self._publish(setpoint_values(state), stamp)
        untouched = {staged(name): values[name] for name in NAMES if name not in self._stage.values}
        self._publish(untouched, stamp)

    def _publish_setpoint(self, suffix: str) -> None:
        """Publish the active value of a PV that was put; one that only starts something is idle again."""
        state = self.keeper.state
        name = _PARAMETERS.get(suffix)
        if name is not None:
            stamp = timestamp(state) if suffix == setpoint(name) else time.time()
            self._publish({suffix: self._value_now(name, suffix)}, stamp)
            return
        if suffix == "Label":
            self._publish({suffix: label_values(state)[suffix]}, label_timestamp(state))
            return
        named = setpoint_values(state)
        if suffix in named:
            self._publish({suffix: named[suffix]}, timestamp(state))
            return
        pv = self._channels[suffix].pv
        value: float | str = pv.states[0] if pv.states else 0 if pv.kind is Kind.LONG else ""
        if suffix == "Follow":
            value = _SWITCH_STATES[state.follow]
        elif suffix == "History:Select":
            value = self._history.selected
        self._publish({suffix: PVValue(value)}, time.time())

    def _value_now(self, name: str, suffix: str) -> PVValue:
        """Return the value of a setpoint, or of a staged value."""
        if suffix == staged(name) and name in self._stage.values:
            return PVValue(self._stage.values[name])  # type: ignore[arg-type]
        revision = self.keeper.state.revision
        return geometry_value(revision and revision.geometry, name)

    def _publish_stage(self) -> None:
        self._publish(self._stage_values(), time.time(), only_changes=True)
        self._publish_dirty()

    def _publish_dirty(self) -> None:
        dirty = "Dirty" if self._stage.values else "Clean"
        if dirty != self._dirty:
            self._dirty = dirty
            self._publish({"Stage:Dirty_RBV": PVValue(dirty)}, time.time())

    def _stage_values(self) -> dict[str, PVValue]:
        """Return the staged values by suffix; the active ones where nothing is staged."""
        return {staged(name): self._value_now(name, staged(name)) for name in NAMES}

    async def _update_links(self) -> None:
        """Update the status at each change of the links, and publish them at a limited rate."""
        published_at, published = -math.inf, self._links.states()
        while True:
            times = [await self.keeper.check_links()]
            now, states = self._links.clock(), self._links.states()
            if states != published and now >= published_at + _LINKS_PERIOD:
                published_at, published = now, states
                self._publish_changes(self._link_values(states), time.time())
            elif states != published:
                times.append(published_at + _LINKS_PERIOD)
            await self._links.wait_for_change(min((moment for moment in times if moment is not None), default=None))

    async def _beat(self) -> None:
        """Publish that the IOC is alive, once a second."""
        began, beats = time.monotonic(), 0
        while True:
            self._alive.beat()
            beats += 1
            await asyncio.sleep(max(0.0, began + beats * _BEAT - time.monotonic()))

    def _link_values(self, states: tuple[LinkState, ...]) -> dict[str, PVValue]:
        return {
            "Links_RBV": PVValue(links_json(states, self._links.settle, extrapolate=self._links.extrapolate)),
            "Links:Table_RBV": PVValue(links_text(states)),
        }
