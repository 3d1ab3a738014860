"""Convert a snapshot to the configuration that a descriptor records. Pure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.links import link_rows
from ponikeeper.protocol.pvs import readback
from ponikeeper.text import strictjson
from ponikeeper.text.timestamps import to_posix
from ponikeeper_client.documents._models import model_text

RECORDED: Mapping[str, str] = {
    "detector_config": readback("detector_config"),
    "revision": "Revision_RBV",
    "revision_uid": "Snapshot_RBV",
    "serial": "Serial_RBV",
    "checksum": "Snapshot_RBV",
    "label": "Label_RBV",
    "status": "Status_RBV",
    "reason": "Snapshot_RBV",
    "findings": "Snapshot_RBV",
    "link_states": "Snapshot_RBV",
    "covariance": "Snapshot_RBV",
    "valid_within": "Snapshot_RBV",
    "model": "Snapshot_RBV",
    "files": "Snapshot_RBV",
    "integration": "Snapshot_RBV",
}
"""Keys that are recorded in addition to the ten values, each with the suffix of its PV."""


STATE_KEYS = ("serial", "status")
"""What a calibration with ``per_event`` reads with each event."""

GUARD_KEY = "calibration_guard"
"""Key of the start document with a list of the guards of a run, each with its options."""

CONTINUES_KEY = "continues_run"
"""Key of the start document with the uid of the run that a guard closed because the geometry changed."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of one calibration in a descriptor, each part by key.

    Parameters
    ----------
    data
        Values; never None.
    timestamps
        Time of the activation, the same for every key (s since 1970).
    data_keys
        ``dtype``, ``shape``, ``source`` and, for the nine numbers, ``units``.
    """

    data: dict[str, Any]
    timestamps: dict[str, float]
    data_keys: dict[str, dict[str, Any]]


def configuration(snapshot: Snapshot, name: str) -> Configuration:
    """Convert a snapshot to the configuration that the descriptor of a run records.

    Parameters
    ----------
    snapshot
        The active revision, as the IOC published it.
    name
        Name of the device, the prefix of each key: ``area_detector_calib``.

    Returns
    -------
    Configuration
        If no geometry is active, the ten values are omitted: a missing number cannot be mistaken for
        a valid one.
    """
    values = _recorded(snapshot)
    since = time.time() if snapshot.activated is None else to_posix(snapshot.activated)
    return Configuration(
        data={f"{name}_{key}": value for key, value in values.items()},
        timestamps={f"{name}_{key}": since for key in values},
        data_keys={f"{name}_{key}": _data_key(snapshot.prefix, key, value) for key, value in values.items()},
    )


def recorded_value(snapshot: Snapshot, key: str) -> Any:
    """Return one of the values in `RECORDED` as a descriptor records it.

    Parameters
    ----------
    snapshot
        The active revision, as the IOC published it.
    key
        A key without the name of the device: ``status``.

    Returns
    -------
    str or int
        The value.
    """
    return _recorded(snapshot)[key]


def _recorded(snapshot: Snapshot) -> dict[str, Any]:
    values: dict[str, Any] = {}
    config: object = {}
    if snapshot.geometry is not None:
        values = snapshot.geometry.as_dict()
        config = values.pop("detector_config")
    values |= {
        "detector_config": strictjson.dumps(config),
        "revision": snapshot.revision,
        "revision_uid": snapshot.uid or "",
        "serial": snapshot.serial,
        "checksum": snapshot.checksum or "",
        "label": snapshot.label or "",
        "status": snapshot.status,
        "reason": snapshot.reason,
        "findings": strictjson.dumps(snapshot.finding_rows()),
        "link_states": "" if snapshot.link_states is None else strictjson.dumps(link_rows(snapshot.link_states)),
        "covariance": _optional(snapshot.provenance.get("covariance")),
        "valid_within": _optional(snapshot.provenance.get("valid_within")),
        "model": model_text(snapshot),
        "files": _optional(snapshot.provenance.get("files")),
        "integration": _optional(snapshot.provenance.get("integration")),
    }
    return values


def _optional(value: object) -> str:
    """Format a value as JSON; empty if there is none. Every key is recorded: Tiled carries omitted ones over."""
    return "" if value is None else strictjson.dumps(strictjson.plain(value))


def _data_key(prefix: str, key: str, value: object) -> dict[str, Any]:
    dtype = "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"
    source = readback(key) if key in NAMES else RECORDED[key]
    data_key: dict[str, Any] = {"source": f"PV:{prefix}{source}", "dtype": dtype, "shape": []}
    if key in PARAMETERS:
        data_key["units"] = PARAMETERS[key].unit
    return data_key
