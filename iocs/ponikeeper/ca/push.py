"""Write values of the active geometry to the PVs of the detector's own driver; `push_rules` decides which, and when."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from caproto import AlarmSeverity, AlarmStatus

from ponikeeper.ca.pv_values import PVValue
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.push_rules import Decision, Outcome, Progress, decide_push
from ponikeeper.detector.state import DetectorState
from ponikeeper.protocol.pushed_values import Target
from ponikeeper.text.ascii import to_ascii

log = logging.getLogger(__name__)

_PUT_TIMEOUT = 10.0
"""How long the detector may take to complete one put (s)."""

_MAX_MESSAGE = 1000

Publish = Callable[[Mapping[str, PVValue]], None]


class Pusher:
    """Keeps the PVs of one detector's driver at the values of its active geometry.

    Parameters
    ----------
    targets
        The PVs of the configuration; without any nothing is done.
    publish
        Publishes ``Push:Status_RBV`` and ``Push:Message_RBV``, where they have changed.
    """

    def __init__(self, targets: Sequence[Target], publish: Publish) -> None:
        self._targets = tuple(targets)
        self._publish = publish
        self._samples: dict[str, Sample] = {}
        self._state: DetectorState | None = None
        self._progress = Progress()
        self._changed = asyncio.Event()
        self._logged = ""

    @property
    def pvs(self) -> set[str]:
        """The PVs to be monitored."""
        return {pv for target in self._targets for pv in target.pvs}

    @property
    def pvs_with_units(self) -> set[str]:
        """Those of them whose units are compared."""
        return {target.readback for target in self._targets if target.units}

    def update(self, pv: str, sample: Sample) -> None:
        """Receive an update of a PV; what is connected again may be a driver that was started again."""
        if pv not in self.pvs:
            return
        was_connected = self._samples.get(pv, Sample()).connected
        self._samples[pv] = sample
        if sample.connected and not was_connected:
            self._progress = Progress()
        self._changed.set()

    def note(self, state: DetectorState) -> None:
        """Receive the published state of the detector."""
        self._state = state
        self._changed.set()

    def write_again(self) -> None:
        """Write what differs, as after an activation."""
        self._progress = Progress()
        self._changed.set()

    def start(self) -> None:
        """Publish the first state, before the first client connects."""
        self._show(self._decide())

    async def run(self) -> None:
        """Write and publish, until cancelled."""
        while True:
            self._changed.clear()
            decision = self._decide()
            self._show(decision)
            if decision.puts:
                await self._put(decision)
                continue
            delay = None if decision.until is None else max(0.0, decision.until - time.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()

    def _decide(self) -> Decision:
        state = self._state
        if state is None:
            return Decision(Outcome.OFF, "")
        revision, serial = state.revision, state.stored.serial
        geometry = None if revision is None else revision.geometry
        now = time.monotonic()
        decision = decide_push(self._targets, geometry, state.status, serial, self._samples, self._progress, now)
        if decision.done and self._progress.serial != serial:
            self._progress = Progress(serial)  # what differs from now on was changed at the detector
        self._progress = replace(self._progress, waiting_since=decision.waiting_since)
        return decision

    async def _put(self, decision: Decision) -> None:
        """Make the puts one after another, until something changes; a failure is shown, and tried again later."""
        from aioca import CANothing, caput

        assert self._state is not None
        serial = self._state.stored.serial
        progress = Progress(serial)
        for target, value in decision.puts:
            if self._state.stored.serial != serial or (target, value) not in self._decide().puts:
                return  # the detector acquires or is gone, or the geometry does not apply: decided again
            try:
                await caput(target.pv, value, wait=True, timeout=_PUT_TIMEOUT)
                log.info("%s: %r written, of activation %d", target.pv, value, serial)
            except CANothing as error:
                progress = Progress(failure=f"{target.pv} cannot be written: {error}")
                break
        self._progress = replace(progress, written_at=time.monotonic())

    def _show(self, decision: Decision) -> None:
        alarm = (AlarmSeverity.NO_ALARM, AlarmStatus.NO_ALARM)
        if decision.outcome is Outcome.FAILED:
            alarm = (AlarmSeverity.MAJOR_ALARM, AlarmStatus.WRITE)
        elif decision.is_late:
            alarm = (AlarmSeverity.MINOR_ALARM, AlarmStatus.WRITE)
        message = to_ascii(decision.message)[:_MAX_MESSAGE]
        if alarm[0] and message != self._logged:
            log.warning("%s", message)
        self._logged = message
        self._publish(
            {
                "Push:Status_RBV": PVValue(decision.outcome.value, *alarm),
                "Push:Message_RBV": PVValue(message, *alarm),
            }
        )
