"""An example of each JSON text, as the documentation shows it, and of a history file."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ponikeeper.geometry import Geometry
from ponikeeper.history import Activation, Correction, Revision, history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol.links import LinkState, links_json
from ponikeeper.protocol.request import (
    Activate,
    Commit,
    Follow,
    InService,
    Label,
    OutOfService,
    RecordPosition,
    Retract,
    Supersede,
    Undo,
    request_text,
)
from ponikeeper.protocol.result import Result, results_json
from ponikeeper.protocol.snapshot import Snapshot

_EXAMPLE_GEOMETRY = Geometry(
    dist=0.2345, poni1=0.1, poni2=0.1, rot1=0.002, rot2=0.001, rot3=0.0, pixel1=0.0002, pixel2=0.0002,
    wavelength=1.66e-11, detector="Perkin", detector_config={"orientation": 3},
)  # fmt: skip

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "commit": request_text(
            Commit(
                {"dist": 0.2345},
                {"method": "fit", "calibrant": "Ni", "residual_px": 0.04},
                "near",
                {"z": 1000.01},
                12,
                request="5f0c2c1e",
                author="alice",
            )
        ),
        "activate": request_text(Activate(12, request="9a41b7d0")),
        "record_position": request_text(RecordPosition(request="c30e17f2")),
        "undo": request_text(Undo(57, request="40f6a9d3")),
        "label": request_text(Label("near", 12, request="d21c08be")),
        "out_of_service": request_text(OutOfService("z", "controller is being repaired", request="51c3e0d2")),
        "in_service": request_text(InService("z", request="0f6b1c9e")),
        "follow": request_text(Follow(on=False, request="77d1a0c4")),
        "supersede": request_text(
            Supersede(12, 15, "wavelength typed wrong", since="2026-11-20T08:00:00.000000Z", request="e8f2b6a5")
        ),
        "retract": request_text(Retract(12, "beam stop touched the detector", request="1b7c94d3")),
        "results": results_json([Result("5f0c2c1e", "commit", "accepted", 13, 31, (), "2026-11-22T09:30:01.250000Z")]),
        "snapshot": Snapshot(
            prefix="XF:28ID1-ES{Det:PE1}Calib:",
            status="VALID",
            reason="",
            serial=31,
            revision=13,
            uid="0d1f7c52-7d0a-4c8e-9a39-0a3f8a5f5d11",
            checksum="sha256:" + "0" * 64,
            label="near",
            activated="2026-11-22T09:30:01.250000Z",
            geometry=_EXAMPLE_GEOMETRY,
            position={"z": {"value": 1000.01, "units": "mm"}},
            provenance={"method": "fit", "calibrant": "Ni"},
        ).as_json(),
        "links": links_json(
            [
                LinkState(
                    "z",
                    "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.RBV",
                    "motor",
                    "mm",
                    0.05,
                    1000.02,
                    1000.01,
                    False,
                    True,
                    True,
                    scale_sigma=1e-4,
                ),
                LinkState("energy", "XF:28ID1-OP{Mono}Energy-I", "energy", "keV", 1e-4, None, 74.69, None, False),
            ],
            settle=1.0,
        ),
    }
)
"""An example of each JSON text, as the documentation shows it."""


def _history() -> ExportedHistory:
    prefix, created = "XF:28ID1-ES{Det:PE1}Calib:", ("2026-11-20T09:30:00.250000Z", "2026-11-22T09:30:01.250000Z")
    provenance: tuple[dict[str, object], ...] = (
        {"method": "poni", "author": "alice"},
        {"method": "fit", "calibrant": "Ni", "residual_px": 0.04, "sigma": {"dist": 1.2e-06}, "author": "alice"},
    )
    bare = [
        Revision(
            1, "6b0de9f4-5e0c-4e1c-8a51-6f0f2c6a1d0a", created[0], "near", _EXAMPLE_GEOMETRY, None, provenance[0], "",
        ),
        Revision(
            2, "0d1f7c52-7d0a-4c8e-9a39-0a3f8a5f5d11", created[1], "near", replace(_EXAMPLE_GEOMETRY, dist=0.2346),
            {"z": {"value": 1000.01, "units": "mm"}}, provenance[1], "",
        ),
    ]  # fmt: skip
    return ExportedHistory(
        prefix,
        "2026-11-23T04:00:00.000000Z",
        tuple(replace(each, checksum=checksum(prefix, "revision", each.row())) for each in bare),
        tuple(Activation(number, number, created[number - 1], "commit", "alice@host") for number in (1, 2)),
        (
            Correction(
                1, "supersede", 1, 2, None, None, "distance typed wrong", "2026-11-22T10:00:00.000000Z", "alice@host"
            ),
        ),
    )


HISTORY_EXAMPLE = history_file.write(_history()).decode("ascii")
"""A history file of two revisions, the first one superseded by the second one."""
