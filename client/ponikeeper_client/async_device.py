"""The ophyd-async device of a detector's geometry: recorded whole in every run, set in one transaction."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from ophyd.sim import make_fake_device

from ponikeeper.errors import MissingOphydAsyncError, NotConnectedError, RecordError
from ponikeeper.protocol import Commit, Request, Result, Snapshot
from ponikeeper.protocol.exchange import Exchange, Read, Wait
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.heartbeat import PERIOD, Heartbeat, hung_text
from ponikeeper.protocol.reduction import KEPT
from ponikeeper.system.file_hash import file_entry
from ponikeeper_client._exposure_motion import ExposureMotion
from ponikeeper_client._fresh_gets import raise_silent
from ponikeeper_client._geometry_sources import GeometrySource, values_of
from ponikeeper_client._request_methods import RequestMethods
from ponikeeper_client._status_warnings import StatusWarnings
from ponikeeper_client._transactions import checked_text, identified, manual, with_checked_files
from ponikeeper_client.device import CalibrationData

try:
    from ophyd_async.core import DEFAULT_TIMEOUT, AsyncStatus, Device
    from ophyd_async.epics.core import epics_signal_r, epics_signal_w

    from ponikeeper_client import _async_mock
    from ponikeeper_client._async_recording import AsyncRecording, Reconfigurable
except ModuleNotFoundError as error:
    raise MissingOphydAsyncError from error

_PAUSE = 0.05
"""How long to wait before the IOC is read again (s)."""


class AsyncCalibrationData(RequestMethods[Coroutine[Any, Any, Result]], AsyncRecording):
    """The calibrated geometry of one detector, as it is active in the ponikeeper IOC, for ophyd-async.

    As a child of a detector with `AsyncCalibrationMixin` it is recorded in the descriptor of each
    run. All values come from one snapshot, which is read from the server each time: a record never
    mixes two geometries, and is never old.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``; with ``pva://`` before it, it is read and
        set over PVAccess. What cannot await, such as the guard, uses Channel Access all the same.
    timeout
        How long the IOC may take to answer (s).
    verdict_timeout
        How long to wait for the result of a transaction (s); a disk may hang.
    on_disconnect
        What to do when a run reads the configuration and the IOC does not answer: ``"raise"``
        `NotConnectedError`, or ``"record"`` the status UNKNOWN without values.
    per_event
        Whether each event of a detector with `AsyncCalibrationMixin` has serial and status, too: a descriptor has
        those of one instant.
    name
        Name of the device.
    """

    def __init__(
        self,
        prefix: str,
        *,
        timeout: float = 2.0,
        verdict_timeout: float = 30.0,
        on_disconnect: Literal["raise", "record"] = "raise",
        per_event: bool = False,
        name: str = "",
    ) -> None:
        if on_disconnect not in ("raise", "record"):
            raise ValueError(f'on_disconnect={on_disconnect!r} is unknown: expected "raise" or "record"')
        scheme, separator, name_of_pvs = prefix.partition("://")
        scheme, prefix = (scheme, name_of_pvs) if separator else ("ca", prefix)
        if scheme not in ("ca", "pva"):
            raise ValueError(f'{scheme}:// is unknown: expected "ca://", "pva://", or only the prefix')
        self._read_geometry = _geometry_reader() if scheme == "pva" else None
        self.prefix = prefix
        self.per_event = per_event
        self.status_warnings = StatusWarnings()
        self.exposure_motion = ExposureMotion()
        self._answer_timeout, self._verdict_timeout = timeout, verdict_timeout
        self._on_disconnect: Literal["raise", "record"] = on_disconnect
        self.snapshot = epics_signal_r(str, f"{scheme}://{prefix}Snapshot_RBV", timeout=timeout)
        self.results = epics_signal_r(str, f"{scheme}://{prefix}Results_RBV", timeout=timeout)
        self.request = epics_signal_w(str, f"{scheme}://{prefix}Request", timeout=timeout)
        self.alive = epics_signal_r(float, f"{scheme}://{prefix}Alive_RBV", timeout=timeout)
        self._heartbeat, self._is_listening = Heartbeat(), False
        self._twin: CalibrationData | None = None
        self._is_mock = False
        super().__init__(name=name)

    async def connect(self, mock: Any = False, timeout: float = DEFAULT_TIMEOUT, force_reconnect: bool = False) -> None:
        """Connect to the IOC.

        Parameters
        ----------
        mock
            Whether to connect to no IOC, as for any device of ophyd-async. The mock has a default
            geometry and accepts commits; ``set_mock_value(calib.snapshot, text)`` shows another state.
        timeout
            How long to wait (s).
        force_reconnect
            Whether to connect again.

        Raises
        ------
        ophyd_async.core.NotConnectedError
            A PV is not connected in time.
        """
        await super().connect(mock, timeout, force_reconnect)
        if mock and not self._is_mock:
            self._is_mock, self._twin = True, None
            _async_mock.simulate(self, self.twin())
        elif not mock and not self._is_listening:
            self._is_listening = True
            subscribe: Any = getattr(self.alive, "subscribe_reading", None) or self.alive.subscribe  # its older name
            subscribe(self._receive_time)

    def twin(self) -> CalibrationData:
        """Return the same calibration as an ophyd device, for code that cannot await.

        Returns
        -------
        CalibrationData
            The same object each time.
        """
        if self._twin is None:
            device = make_fake_device(CalibrationData) if self._is_mock else CalibrationData
            self._twin = device(
                self.prefix,
                name=self.name,
                timeout=self._answer_timeout,
                verdict_timeout=self._verdict_timeout,
                on_disconnect=self._on_disconnect,
            )
        self._twin.name = self.name
        self._twin.status_warnings, self._twin.exposure_motion = self.status_warnings, self.exposure_motion
        return self._twin

    async def read_snapshot(self) -> Snapshot:
        """Read all that is active now from the server.

        Returns
        -------
        Snapshot
            Active geometry with its revision, activation and status.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        if self._is_mock:
            return Snapshot.from_json(await self.snapshot.get_value())
        began, pause = time.monotonic(), 0.0
        deadline = began + self._answer_timeout
        patience = max(deadline, began + 2 * PERIOD)
        while True:
            try:  # a monitor would show the last value of a hung IOC
                alive, snapshot = await asyncio.wait_for(
                    asyncio.gather(self.alive.get_value(cached=False), self._get_snapshot()), self._answer_timeout
                )
            except TimeoutError:
                self._raise_silent()
            except Exception:  # noqa: BLE001  # the circuit was lost meanwhile: wait until it is back
                if time.monotonic() > deadline:
                    self._raise_silent()
                await asyncio.sleep(_PAUSE)
                continue
            now = time.monotonic()
            if self._heartbeat.see(alive, now) or self._heartbeat.is_fresh(now):
                return snapshot
            if now > patience:  # a gateway answers from its cache
                raise NotConnectedError(hung_text(_pv(self.alive), alive, now - began))
            await asyncio.sleep(pause)
            pause = _PAUSE  # the first time at once: only a gateway gives the same time twice

    async def _get_snapshot(self) -> Snapshot:
        if self._read_geometry is not None:
            return await self._read_geometry(self.prefix)
        return Snapshot.from_json(await self.snapshot.get_value(cached=False))

    def _receive_time(self, reading: Mapping[str, Any]) -> None:
        """Receive an update of the time of the IOC."""
        self._heartbeat.see(next(iter(reading.values()))["value"], time.monotonic())

    @AsyncStatus.wrap
    async def set(
        self,
        value: GeometrySource,
        *,
        expect_revision: int | None = None,
        mask: str | Path | None = None,
        integration: Mapping[str, object] | None = KEPT,
        timeout: float | None = None,
    ) -> None:
        """Commit a geometry, or some values of it, in one transaction.

        Parameters
        ----------
        value
            As for `CalibrationData.set`: a whole geometry, a PONI, an object of pyFAI, or values by name (m, rad).
        expect_revision
            Refuse unless this revision is active.
        mask
            File of an image or array whose nonzero pixels are masked; stored as its path and SHA-256.
        integration
            Settings with which `integrate` reduces the images of later runs, arguments of pyFAI's `integrate1d`:
            ``{"npt": 3000, "unit": "q_nm^-1"}``. Kept if omitted; None removes them. With an empty `value` only these
            and the mask are changed.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        AsyncStatus
            Done when the geometry is active; fails with the errors of `transact`.
        """
        values = await asyncio.to_thread(values_of, value)
        snapshot = await self.read_snapshot()
        commit = manual(values, snapshot, expect_revision, integration, has_mask=mask is not None)
        await self.transact(await asyncio.to_thread(with_checked_files, commit, snapshot, mask), timeout)

    async def transact(self, request: Request, timeout: float | None = None) -> Result:
        """Run one transaction, and return when its effect is active.

        A commit gets path and SHA-256 of each file that its `detector_config` names.

        Parameters
        ----------
        request
            Any request; one without an id gets one.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            The accepted result, with revision and serial.

        Raises
        ------
        RefusedError
            The IOC refused; the message has its reasons.
        NotConnectedError
            No result arrived in time; it is then unknown whether the transaction was stored.
        GeometryFileError
            A file that the geometry names cannot be read here; nothing was sent.
        """
        if isinstance(request, Commit):
            request = await asyncio.to_thread(with_files, request, file_entry)
        request = identified(request)
        text, clock = checked_text(request), time.monotonic
        exchange = Exchange(
            str(request.request),
            _pv(self.request),
            _pv(self.results),
            now=clock(),
            timeout=self._verdict_timeout if timeout is None else timeout,
            answer_timeout=self._answer_timeout,
            pause=_PAUSE,
        )
        while not isinstance(step := exchange.step(clock()), Result):
            left = max(0.0, step.until - clock())
            if isinstance(step, Wait):
                await asyncio.sleep(left)
            elif isinstance(step, Read):
                await self._read_results(exchange, left)
            else:
                await self._put(exchange, text, left)
        return step  # an IOC publishes what is active before it publishes the result

    async def _put(self, exchange: Exchange, text: str, timeout: float) -> None:
        """Put a request, and report to the exchange what came of it."""
        try:
            await asyncio.wait_for(self.request.set(text), timeout)
        except TimeoutError:
            exchange.sent(time.monotonic())
        except Exception as error:  # noqa: BLE001  # each transport of ophyd-async raises its own
            exchange.put_failed(str(error), time.monotonic())
        else:
            exchange.sent(time.monotonic())

    async def _read_results(self, exchange: Exchange, timeout: float) -> None:
        """Read the results for an exchange; an IOC that is away for a while may have stored the transaction."""
        try:
            text = await asyncio.wait_for(self.results.get_value(cached=False), timeout)
        except Exception:  # noqa: BLE001  # each transport of ophyd-async raises its own
            return
        exchange.read(text, time.monotonic())

    def _raise_silent(self) -> NoReturn:
        raise_silent(_pv(self.snapshot), self._answer_timeout)


class AsyncCalibrationMixin(Reconfigurable):
    """An ophyd-async detector of any class that records the calibrations among its children.

    Put it before the detector's class, and a child ``self.calib = AsyncCalibrationData(...)`` into
    it. ``yield from bps.abs_set(detector.calib, {"dist": 0.23}, wait=True)`` activates a geometry;
    within a run ``yield from bps.configure(detector, {})`` then records it.
    """

    async def read_configuration(self) -> dict[str, Any]:
        """Return the configuration of the detector and of its calibrations.

        Returns
        -------
        dict
            ``value`` and ``timestamp`` by key.

        Raises
        ------
        NotConnectedError
            As `AsyncCalibrationData.read_configuration`.
        """
        detector: Any = super()
        return await _merged(detector.read_configuration(), *(each.read_configuration() for each in calibrations(self)))

    async def describe_configuration(self) -> dict[str, Any]:
        """Return the data keys of `read_configuration`.

        Returns
        -------
        dict
            ``dtype``, ``shape``, ``source`` and ``units`` by key.

        Raises
        ------
        NotConnectedError
            As `AsyncCalibrationData.read_configuration`.
        """
        detector: Any = super()
        own = (each.describe_configuration() for each in calibrations(self))
        return await _merged(detector.describe_configuration(), *own)

    async def read(self) -> dict[str, Any]:
        """Return the reading of the detector and, with ``per_event``, of its calibrations.

        Returns
        -------
        dict
            ``value`` and ``timestamp`` by key.

        Raises
        ------
        NotConnectedError
            As `AsyncCalibrationData.read_configuration`.
        """
        detector: Any = super()
        return await _merged(detector.read(), *(each.read() for each in calibrations(self) if each.per_event))

    async def describe(self) -> dict[str, Any]:
        """Return the data keys of `read`.

        Returns
        -------
        dict
            ``dtype``, ``shape`` and ``source`` by key.

        Raises
        ------
        NotConnectedError
            As `AsyncCalibrationData.read_configuration`.
        """
        detector: Any = super()
        return await _merged(detector.describe(), *(each.describe() for each in calibrations(self) if each.per_event))


def calibrations(device: Any) -> list[AsyncCalibrationData]:
    """Return the calibrations of an ophyd-async device, or the device itself if it is one; none for other objects."""
    if isinstance(device, AsyncCalibrationData):
        return [device]
    children = device.children() if isinstance(device, Device) else ()
    return [calib for _, child in children for calib in calibrations(child)]


def twins(device: Any) -> list[CalibrationData]:
    """Return the same calibrations as ophyd devices, for code that cannot await.

    Raises
    ------
    RecordError
        The device cannot record a new geometry within a run.
    """
    calibs = calibrations(device)
    if calibs and not isinstance(device, Reconfigurable):
        raise RecordError(
            f"{device.name} could not record a change of {', '.join(calib.name for calib in calibs)} within a run: "
            f"write class YourDetector(AsyncCalibrationMixin, {type(device).__name__})"
        )
    return [calib.twin() for calib in calibs]


async def _merged(*parts: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in await asyncio.gather(*parts) for key, value in part.items()}


def _pv(signal: Any) -> str:
    return signal.source.partition("://")[2]


def _geometry_reader() -> Callable[[str], Awaitable[Snapshot]]:
    """Import what reads the structure; raises `MissingExtraError` where p4p is not installed."""
    from ponikeeper_client._pva_geometry import read_geometry

    return read_geometry
