"""The geometry of a detector as an ophyd-async device: recorded whole with every run, set as one transaction.

Nothing here blocks: it runs in the RunEngine's loop.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NoReturn
from uuid import uuid4

from ponikeeper.errors import MissingExtraError, NotConnectedError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.messages import Request, Result, Snapshot, parse_results
from ponikeeper_client import documents
from ponikeeper_client.fresh import raise_silent
from ponikeeper_client.transactions import _text as checked_text
from ponikeeper_client.transactions import manual


class MissingOphydAsyncError(MissingExtraError):
    """ophyd-async is not installed; no extra of ponikeeper brings it."""

    def __init__(self) -> None:
        ImportError.__init__(self, "ophyd-async is not installed: pip install ophyd-async")


try:
    from ophyd_async.core import AsyncStatus, Device, StandardReadable
    from ophyd_async.epics.core import epics_signal_r, epics_signal_w
except ModuleNotFoundError as error:
    raise MissingOphydAsyncError from error

_PAUSE = 0.05
"""How long to wait before an IOC is asked again that gave no answer, or no final one (s)."""


class AsyncCalibrationData(StandardReadable):
    """The calibrated geometry of one detector, as the ponikeeper IOC has it in force, for ophyd-async.

    As a readable child of a detector (``with self.add_children_as_readables(): self.calib = ...``) it
    is recorded in the descriptor of each run. What it gives comes from one snapshot, which the
    server is asked for each time: it is never half of one geometry and half of another, nor old.

    Parameters
    ----------
    prefix
        Whole PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``.
    timeout
        How long to wait for an IOC that does not answer (s).
    verdict_timeout
        How long to wait for the verdict of a transaction: a disk may hang (s).
    on_disconnect
        What to do when a run wants the configuration and the IOC does not answer: ``"raise"``
        `NotConnectedError`, or ``"record"`` the status UNKNOWN and no numbers.
    """

    def __init__(
        self,
        prefix: str,
        *,
        timeout: float = 2.0,
        verdict_timeout: float = 30.0,
        on_disconnect: Literal["raise", "record"] = "raise",
        name: str = "",
    ) -> None:
        if on_disconnect not in ("raise", "record"):
            raise ValueError(f'on_disconnect={on_disconnect!r} is unknown: expected "raise" or "record"')
        self.prefix = prefix
        self._silence, self._verdict_timeout, self._on_disconnect = timeout, verdict_timeout, on_disconnect
        self.snapshot = epics_signal_r(str, f"ca://{prefix}Snapshot_RBV", timeout=timeout)
        self.results = epics_signal_r(str, f"ca://{prefix}Results_RBV", timeout=timeout)
        self.request = epics_signal_w(str, f"ca://{prefix}Request", timeout=timeout)
        super().__init__(name=name)

    async def read_snapshot(self) -> Snapshot:
        """Give all that is in force now, as the server says at this moment.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        deadline = time.monotonic() + self._silence
        while True:
            try:
                text = await self.snapshot.get_value(cached=False)  # a monitor would show a hung IOC as alive
            except TimeoutError:
                self._raise_silent()
            except Exception:  # noqa: BLE001  # the circuit was lost in between: its return is waited for
                if time.monotonic() > deadline:
                    self._raise_silent()
                await asyncio.sleep(_PAUSE)
            else:
                return Snapshot.from_json(text)

    async def read_configuration(self) -> dict[str, Any]:
        """Give values and timestamps of all that a run records, from one snapshot.

        Raises
        ------
        NotConnectedError
            The IOC does not answer, unless that is to be recorded.
        """
        found = await self._configuration()
        return {
            self._key(key): {"value": value, "timestamp": found.timestamps[key]} for key, value in found.data.items()
        }

    async def describe_configuration(self) -> dict[str, Any]:
        """Give the data keys of what `read_configuration` gives; raises as that does."""
        return {self._key(key): data_key for key, data_key in (await self._configuration()).data_keys.items()}

    @AsyncStatus.wrap
    async def set(
        self,
        value: Geometry | Mapping[str, Any],
        *,
        expect_revision: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Commit a geometry, or some values of it, as one transaction.

        Parameters
        ----------
        value
            A whole geometry, or values by name (m, rad).
        expect_revision
            Refuse unless this revision is in force.
        timeout
            How long to wait for the verdict (s).

        Returns
        -------
        AsyncStatus
            Done when the geometry is in force; fails as `transact` raises.
        """
        values = value.as_dict() if isinstance(value, Geometry) else value
        await self.transact(manual(values, await self.read_snapshot(), expect_revision), timeout)

    async def transact(self, request: Request, timeout: float | None = None) -> Result:
        """Run one transaction, and return when what it did is in force.

        Parameters
        ----------
        request
            Any request; without an id it is given one.
        timeout
            How long to wait for the verdict (s).

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            No verdict came in time; whether the transaction was stored is not known then.
        """
        request = request if request.request else replace(request, request=uuid4().hex)
        text = checked_text(request)
        timeout = self._verdict_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(timeout):
                result = await self._verdict(str(request.request), text)
        except TimeoutError:
            raise NotConnectedError(
                f"{_pv(self.results)} shows no verdict within {timeout:g} s: whether the transaction was stored is not "
                f"known; look at the history, or send it again with the same id, {request.request}"
            ) from None
        if result.outcome == "refused":
            raise RefusedError(result.errors)
        return result  # an IOC shows what is in force before it says that it is

    async def _verdict(self, request: str, text: str) -> Result:
        """Put a request until its verdict is found by its id: the IOC runs one id only once."""
        while True:
            refusal = await self._put(text)
            result = await self._found(request)
            while result is not None and result.outcome == "undetermined":
                await asyncio.sleep(_PAUSE)
                result = await self._found(request)
            if result is not None:
                return result
            if refusal is not None:
                raise RefusedError(f"{_pv(self.request)} may not be written from here: {refusal}") from refusal
            await asyncio.sleep(_PAUSE)

    async def _put(self, text: str) -> Exception | None:
        """Put a request; gives why that was not allowed, None where only its verdict can tell."""
        try:
            await self.request.set(text)
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001  # whatever the transport says
            return None if "disconnect" in str(error).lower() else error
        return None

    async def _found(self, request: str) -> Result | None:
        try:
            results = parse_results(await self.results.get_value(cached=False))
        except Exception:  # noqa: BLE001  # an IOC that is away for a while may have stored it
            return None
        return next((result for result in results if result.request == request), None)

    async def _configuration(self) -> documents.Configuration:
        try:
            snapshot = await self.read_snapshot()
        except NotConnectedError as error:
            if self._on_disconnect == "raise":
                raise
            snapshot = Snapshot(self.prefix, "UNKNOWN", str(error))
        return documents.configuration(snapshot, snapshot.status, "")

    def _key(self, key: str) -> str:
        """Join the name as ophyd-async joins those of children."""
        return f"{self.name}{self._child_name_separator}{key.removeprefix('_')}"

    def _raise_silent(self) -> NoReturn:
        raise_silent(_pv(self.snapshot), self._silence)


class AsyncCalibrationMixin(StandardReadable):
    """An ophyd-async detector of which a plan can have a new geometry recorded within a run.

    ``yield from bps.abs_set(detector.calib, {"dist": 0.23}, wait=True)`` puts it in force, then
    ``yield from bps.configure(detector, {})`` has bluesky read the configuration anew: the next
    events have a descriptor of their own.
    """

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Let bluesky read the configuration anew; raises `ValueError` where there is something to set."""
        if d:  # bluesky does not await what this gives, and to wait here would stop its loop
            raise ValueError(
                f"{self.name}: {', '.join(d)} cannot be configured: set them with bps.abs_set(..., wait=True), then "
                f"write bps.configure({self.name}, {{}})"
            )
        return {}, {}


def calibrations(device: Any) -> list[AsyncCalibrationData]:
    """Give the calibrations of an ophyd-async device; itself where it is one, none where it is no such device."""
    if isinstance(device, AsyncCalibrationData):
        return [device]
    children = device.children() if isinstance(device, Device) else ()
    return [calib for _, child in children for calib in calibrations(child)]


def _pv(signal: Any) -> str:
    return signal.source.removeprefix("ca://")
