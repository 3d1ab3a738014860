"""The structure ``Geometry`` of PVAccess: everything that is active, in one value that clients read and put whole.

It has the content of ``Snapshot_RBV``: each value of the geometry is a field of its own, and what has no fixed form
(provenance, position, links, findings) is a JSON text.
"""

import json
import math
from collections.abc import Mapping
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol.json_text import VERSION
from ponikeeper.protocol.pvs import WITH_SIGMA
from ponikeeper.protocol.snapshot import Snapshot
from ponikeeper.text import strictjson

NAME = "Geometry"
"""Its PV, behind the prefix of the detector."""

TYPE_ID = "ponikeeper:Geometry:1.0"
"""Its type: a new field changes the last number, any other change of a field the first."""

VALUES = (*NAMES, "detector_config")
"""The values of the geometry, which can be put."""

PUT_TEXTS = ("label", "provenance", "position")
"""The texts that can be put; the last two are JSON."""

EXPECTED = ("revision", "serial")
"""What a put expects to be active, if it has them."""

READ_ONLY = ("uid", "checksum", "activated", "status", "reason", "findings", "links", "assumed", "accuracy")
"""The other fields, without the structures ``sigma``, ``alarm`` and ``timeStamp``."""

JSON_TEXTS: Mapping[str, str] = {
    "provenance": "provenance",
    "position": "position",
    "findings": "findings",
    "links": "link_states",
    "assumed": "assumed",
}
"""The fields that are JSON texts, each with its key in the snapshot."""

_TEXTS = ("status", "reason", "uid", "checksum", "label", "activated")
_OPTIONAL = ("uid", "checksum", "label", "activated")

Spec = list[tuple[str, object]]
"""Names and types of fields, in p4p's notation."""

ALARM: Spec = [("severity", "i"), ("status", "i"), ("message", "s")]
TIME: Spec = [("secondsPastEpoch", "l"), ("nanoseconds", "i"), ("userTag", "i")]


def spec() -> Spec:
    """Return the fields in their order.

    Returns
    -------
    list of tuple
        Names and types.
    """
    return [
        *((name, "d" if name in PARAMETERS else "s") for name in VALUES),
        *((name, "s") for name in PUT_TEXTS),
        *((name, "i") for name in EXPECTED),
        *((name, "d" if name == "accuracy" else "s") for name in READ_ONLY),
        ("sigma", ("S", None, [(name, "d") for name in WITH_SIGMA])),
        ("alarm", ("S", "alarm_t", ALARM)),
        ("timeStamp", ("S", "time_t", TIME)),
    ]


def fields_of(text: str) -> dict[str, object]:
    """Return the fields, without alarm and time.

    Parameters
    ----------
    text
        Of ``Snapshot_RBV``.

    Returns
    -------
    dict
        By name; where no geometry is active, numbers are NaN or 0 and texts are empty.
    """
    snapshot = json.loads(text)  # of this process: there is nothing to check
    geometry = cast("Mapping[str, object]", snapshot["geometry"] or {})
    fields: dict[str, object] = {
        name: geometry.get(name, math.nan if name in PARAMETERS else "") for name in VALUES if name != "detector_config"
    }
    fields["detector_config"] = strictjson.dumps(geometry["detector_config"]) if geometry else ""
    fields |= {name: snapshot[name] or "" for name in _TEXTS}
    fields |= {name: snapshot[name] for name in EXPECTED}
    fields |= {name: strictjson.dumps(snapshot[key]) for name, key in JSON_TEXTS.items()}
    provenance = cast("Mapping[str, object]", snapshot["provenance"])
    deviations = cast("Mapping[str, object]", provenance.get("sigma", {}))
    fields["sigma"] = {name: _number(deviations.get(name)) for name in WITH_SIGMA}
    fields["accuracy"] = _number(provenance.get("accuracy_deg"))
    return fields


def snapshot_of(prefix: str, fields: Mapping[str, object]) -> Snapshot:
    """Return the snapshot that a structure has.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    fields
        As `fields_of` returns them; others are ignored.

    Returns
    -------
    Snapshot
        The same as from the text of ``Snapshot_RBV``.

    Raises
    ------
    MessageError
        The fields are not those of this structure.
    """
    try:
        geometry: dict[str, object] | None = None
        if fields["revision"]:
            geometry = {name: fields[name] for name in VALUES}
            geometry["detector_config"] = strictjson.loads(cast("str", fields["detector_config"]))
        values: dict[str, object] = {"v": VERSION, "prefix": prefix, "geometry": geometry}
        values |= {name: fields[name] or None if name in _OPTIONAL else fields[name] for name in _TEXTS}
        values |= {name: fields[name] for name in EXPECTED}
        values |= {key: strictjson.loads(cast("str", fields[name])) for name, key in JSON_TEXTS.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{prefix}{NAME} is not a structure {TYPE_ID}: {error!r}") from None
    return Snapshot.from_json(strictjson.dumps(values))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
