"""What a run records of a geometry from ophyd-async: its configuration, and the values of each event."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from ponikeeper.errors import MissingOphydAsyncError, NotConnectedError
from ponikeeper.protocol import Snapshot
from ponikeeper_client import documents
from ponikeeper_client._exposure_motion import ExposureMotion
from ponikeeper_client._status_warnings import StatusWarnings

try:
    from ophyd_async.core import Device, StandardReadable
except ModuleNotFoundError as error:
    raise MissingOphydAsyncError from error


class Reconfigurable(Device):
    """A device whose configuration a plan can record again within a run."""

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return nothing, so that bluesky reads the configuration again; raise `ValueError` for values to set."""
        if d:  # bluesky does not await what this gives, and to wait here would stop its loop
            raise ValueError(
                f"{self.name}: {', '.join(d)} cannot be configured: set them with bps.abs_set(..., wait=True), then "
                f"write bps.configure({self.name}, {{}})"
            )
        return {}, {}


class AsyncRecording(Reconfigurable, StandardReadable):
    """The part of `AsyncCalibrationData` that bluesky reads; parameters as there."""

    prefix: str
    per_event: bool
    status_warnings: StatusWarnings
    exposure_motion: ExposureMotion
    _on_disconnect: Literal["raise", "record"]
    _last_geometry: Snapshot | None = None

    async def read_snapshot(self) -> Snapshot:
        """Read all that is active now; the device implements it."""
        raise NotImplementedError

    async def read_configuration(self) -> dict[str, Any]:
        """Return values and timestamps of all that a run records, from one snapshot.

        Returns
        -------
        dict
            ``value`` and ``timestamp`` (s since 1970) by key; lengths in m, angles in rad.

        Raises
        ------
        NotConnectedError
            The IOC does not answer, and ``on_disconnect`` is ``"raise"``.
        """
        snapshot = await self._recorded_snapshot()
        self.status_warnings.begin()
        self.status_warnings.check(self.name, snapshot)
        return self._values_of(snapshot)

    async def describe_configuration(self) -> dict[str, Any]:
        """Return the data keys of `read_configuration`.

        Those of a geometry are always the same, so the IOC is not asked where one was read before.

        Returns
        -------
        dict
            ``dtype``, ``shape``, ``source`` and ``units`` by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`, if the IOC is asked.
        """
        snapshot = self._last_geometry if self._on_disconnect == "raise" else None
        configuration = _configuration(snapshot or await self._recorded_snapshot())
        return {self._key(key): dict(data_key) for key, data_key in configuration.data_keys.items()}

    async def read(self) -> dict[str, Any]:
        """Return what each event records: with ``per_event`` serial and status.

        Returns
        -------
        dict
            ``value`` and ``timestamp`` (s since 1970) by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        values: dict[str, Any] = dict(await super().read())
        if self.per_event:
            recorded, now = self._values_of(await self._recorded_snapshot()), time.time()
            values |= {key: {**recorded[key], "timestamp": now} for key in map(self._key, documents.STATE_KEYS)}
        return values

    async def describe(self) -> dict[str, Any]:
        """Return the data keys of `read`.

        Returns
        -------
        dict
            ``dtype``, ``shape`` and ``source`` by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        data_keys: dict[str, Any] = dict(await super().describe())
        if self.per_event:
            described = await self.describe_configuration()
            data_keys |= {key: described[key] for key in map(self._key, documents.STATE_KEYS)}
        return data_keys

    async def _recorded_snapshot(self) -> Snapshot:
        try:
            snapshot = self.exposure_motion.applied_to(await self.read_snapshot())
        except NotConnectedError as error:
            if self._on_disconnect == "raise":
                raise
            return Snapshot(self.prefix, "UNKNOWN", str(error))
        if snapshot.geometry is not None:
            self._last_geometry = snapshot
        return snapshot

    def _values_of(self, snapshot: Snapshot) -> dict[str, Any]:
        configuration = _configuration(snapshot)
        return {
            self._key(key): {"value": value, "timestamp": configuration.timestamps[key]}
            for key, value in configuration.data.items()
        }

    def _key(self, key: str) -> str:
        """Return the name of a key, joined as ophyd-async joins the names of children."""
        return f"{self.name}{self._child_name_separator}{key.removeprefix('_')}"


def _configuration(snapshot: Snapshot) -> documents.Configuration:
    return documents.configuration(snapshot, "")
