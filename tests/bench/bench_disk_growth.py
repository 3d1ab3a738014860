"""Bytes of the store for each kind of record, and what ten years of use come to.

python tests/bench/bench_disk_growth.py [COMMITS]
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from ponikeeper.history.records import FOLLOWED, MODEL
from ponikeeper.store import Draft, FollowState
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import DERIVED, GEOMETRY, time_of

PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
POSITION = {name: {"value": 1000.0123456789, "units": "mm"} for name in ("z", "energy", "binning")}
FIT = {
    "method": "fit", "calibrant": "CeO2", "author": "alice@ws1.beamline.example.org", "residual_px": 0.0412345678901,
    "image": "/nsls2/data/pdf/2026-3/CeO2_near_20261122-093000_0001.tiff", "image_sha256": "6f" * 32,
    "accuracy_deg": 0.00123456789, "run_uid": "0d1f7c52-7d0a-4c8e-9a39-0a3f8a5f5d11",
    "sigma": dict.fromkeys(("dist", "poni1", "poni2", "rot1", "rot2", "wavelength"), 1.23456789e-06),
    "covariance": {"names": ["dist", "poni1", "poni2", "rot1", "rot2", "wavelength"], "lower": [1.23456789e-12] * 21},
}  # fmt: skip
EDIT = {"method": "manual", "derived_from": 12, "author": "alice@ws1.beamline.example.org"}

PATTERNS = {
    "a calibration a day, 20 times there and back between two positions": (1, 0, 40, 0),
    "ten calibrations and 20 edits a day, 200 times between positions": (10, 20, 200, 0),
    "a model: a calibration a day, 2,000 positions a day": (1, 0, 0, 2000),
}
"""Fits, edits, activations by following and geometries of a model in one day."""


def main(commits):
    """Write records of each kind, and compute what ten years take."""
    sizes = {
        "a fit, with its covariance": size(commits, fit),
        "an edit of a value": size(commits, edit),
        "an activation because the links moved": size(commits, follow),
        "a geometry that a model gave": size(commits, model),
    }
    print(f"bytes of the store, each from {commits} records")
    for name, each in sizes.items():
        print(f"{name:<40} {each:8.0f}")
    for name, day in PATTERNS.items():
        total = 3652 * sum(count * each for count, each in zip(day, sizes.values(), strict=True))
        print(f"ten years of {name}: {total / 1e6:.1f} MB")


def size(count, write):
    """Return the bytes that one record takes."""
    with tempfile.TemporaryDirectory() as folder:
        storage = SQLiteStorage(Path(folder) / "ponikeeper.sqlite")
        fit(storage, count)  # what follows refers to a revision
        before = storage.path.stat().st_size
        for first in range(0, count, 30):
            with storage.group():  # one wait for the disk
                for number in range(first, min(first + 30, count)):
                    write(storage, number)
        after = storage.path.stat().st_size
        storage.close()
    return (after - before) / count


def commit(storage, number, provenance):
    draft = Draft(replace(GEOMETRY, dist=0.2 + number / 9.97e6), provenance, "near", POSITION)
    request = (f"5f0c2c1e-0000-4000-8000-{number:012x}", f"{number:064x}", "commit")
    storage.commit(PREFIX, draft, time_of(number), "commit", "alice@ws1.beamline.example.org", request)


def fit(storage, number):
    commit(storage, number, FIT)


def edit(storage, number):
    commit(storage, number, EDIT)


def follow(storage, number):
    storage.activate(PREFIX, 1, time_of(number), FOLLOWED, "links", None, FollowState(True, POSITION))


def model(storage, number):
    derived = replace(DERIVED, position=POSITION, certainty={"accuracy_deg": 0.00123456789, "rms_px": 0.0412345678})
    storage.activate(PREFIX, 1, time_of(number), MODEL, "links", None, FollowState(True, POSITION), derived=derived)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
