"""Small stores with known contents, and everything that can be read from one: for tests that damage them."""

import hashlib
import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ponikeeper.errors import StoreError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Correction, DerivedGeometry, LabelRecord, RenameRecord, ServiceChange
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import FOLLOWED, UNDO
from ponikeeper.store import Draft, FollowState, schema
from ponikeeper.store import sqlite_storage as writing
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.text.strictjson import canonical
from strategies import VALUES

PREFIXES = ("XF:1{Det:1}Calib:", "XF:1{Det:2}Calib:")
GEOMETRY = Geometry.parse(VALUES)
LABELS = ("near", "far", None)
NAME = "ponikeeper.sqlite"

COUNTS = {
    "revision": 4, "activation": 7, "judgement": 2, "service": 1, "undo": 1, "label": 1, "derived": 1, "rename": 2,
}  # fmt: skip
"""Records of each detector of a small store."""


def time_of(number: int) -> str:
    """Return an instant for the n-th write."""
    return f"2026-11-22T09:30:{number % 60:02d}.250000Z"


def draft(number: int, label: str | None = None) -> Draft:
    """Return a draft that differs from every other."""
    provenance = {"method": "fit", "calibrant": "Ni", "author": "alice", "comment": f"number {number}"}
    return Draft(replace(GEOMETRY, dist=0.2 + number / 997), provenance, label, {"z": {"value": 1.0, "units": "mm"}})


def corrections(revisions: int) -> list[Correction]:
    """Return corrections of revisions of a small store."""
    time = time_of(revisions)
    return [
        Correction(1, "supersede", 1, 2, time_of(0), None, "wavelength typed wrong", time, "alice@here"),
        Correction(2, "retract", 3, None, None, None, "beam stop", time, "bob@there"),
    ]


DERIVED = DerivedGeometry(
    0, 0, 0, replace(GEOMETRY, dist=0.7), {"z": {"value": 7.5, "units": "mm"}}, {"accuracy_deg": 0.001}
)
SERVICE = ServiceChange(1, "out_of_service", "z", "controller is being repaired", time_of(7), "bob@there")


def commit(storage: SQLiteStorage, prefix: str, number: int) -> None:
    """Commit the n-th draft with a request id of its own."""
    request = (f"request-{number}", f"{number:064x}", "commit")
    storage.commit(prefix, draft(number, LABELS[number % 3]), time_of(number), "commit", "alice@here", request)


def small_store(path: Path, revisions: int = 4) -> Path:
    """Write a few revisions, activations and answers for two detectors, which were renamed and renamed back."""
    storage = SQLiteStorage(path)
    try:
        for number in range(revisions):
            for prefix in PREFIXES:
                commit(storage, prefix, number)
        for prefix in PREFIXES:
            request = ("back", "f" * 64, "activate")
            standing = FollowState(True, {"z": {"value": 1.0, "units": "mm"}})
            wrong = storage.activate(prefix, 2, time_of(revisions), "activate", "bob@there", request, standing)
            storage.activate(prefix, revisions, time_of(revisions), UNDO, "bob@there", undone=wrong)
            storage.activate(prefix, 3, time_of(revisions), FOLLOWED, "links", derived=DERIVED)
            for correction in corrections(revisions):
                storage.add(prefix, correction)
            storage.add(prefix, SERVICE)
            storage.add(prefix, LabelRecord(0, 3, "spare", revisions, time_of(revisions), "bob@there"))
            for old, new in ((prefix, f"{prefix}Old:"), (f"{prefix}Old:", prefix)):
                storage.add(prefix, RenameRecord(0, old, new, time_of(revisions), "bob@there"))
    finally:
        storage.close()
    return path


def large_store(path: Path, prefix: str, revisions: int, comment: str = "") -> Path:
    """Write many revisions in one transaction; each is what a commit of its own would write."""
    storage = SQLiteStorage(path)
    text = canonical(GEOMETRY.as_dict())
    provenance = canonical(
        {"author": "alice", "calibrant": "Ni", "method": "fit"} | ({"comment": comment} if comment else {})
    )
    try:
        with storage._file.transaction() as connection:
            key = storage._detector(connection, prefix)
            for number in range(1, revisions + 1):
                label = LABELS[number % 3]
                row = (number, str(uuid.uuid4()), time_of(number), label, text, "null", provenance)
                writing._insert(connection, prefix, "revision", key, row)
                request = (f"request-{number}", f"{number:064x}", "commit")
                writing._activate(connection, prefix, key, number, time_of(number), "commit", "alice@here", request)
    finally:
        storage.close()
    return path


def store_history(path: Path, history: ExportedHistory) -> None:
    """Add all records of a history to a store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = SQLiteStorage(path)
    try:
        records = [record for of_kind in history.by_kind().values() for record in of_kind]
        storage.append(history.prefix, records, history.exported, "legacy import")
    finally:
        storage.close()


def contents(path: Path) -> dict[str, object]:
    """Open a store, verify all of it, and read everything that the public methods return.

    Raises
    ------
    StoreError
        As the history raises it; any other error is a defect.
    """
    storage = SQLiteStorage(path)
    try:
        return contents_of(storage)
    finally:
        storage.close()


def store_of_0_1(path: Path) -> Path:
    """Write the store that ponikeeper 0.1 left."""
    text = (Path(__file__).parents[1] / "unit" / "store" / "store_of_0_1.sql").read_text(encoding="utf-8")
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)
        connection.executescript(f"PRAGMA user_version = 2; PRAGMA application_id = {schema.APPLICATION_ID}")
    return path


def contents_of(storage: SQLiteStorage) -> dict[str, object]:
    """Verify all of an open store, and read everything that the public methods return."""
    while storage.verify_next():
        continue
    return {prefix: _of_one(storage, prefix) for prefix in PREFIXES}


def _of_one(storage: SQLiteStorage, prefix: str) -> tuple[object, ...]:
    count = storage.count(prefix)
    requests = ("back", *(f"request-{number}" for number in range(count + 1)))
    return (
        storage.active(prefix),
        count,
        storage.revisions(prefix, 1, count),
        [storage.find_label(prefix, label) for label in LABELS if label],
        storage.newest_labels(prefix, 9),
        [storage.answer(prefix, request) for request in requests],
        storage.stored_state(prefix),
        storage.follow_candidates(prefix, None, 100),
        storage.records(prefix, "derived"),
        storage.histories(),
    )


def verdict_of(path: Path, truth: dict[str, object]) -> str:
    """Read a store that may be damaged: ``sound``, ``refused``, or what was read instead of the truth."""
    before = digest(path)
    try:
        found = contents(path)
    except StoreError as error:
        message = str(error)
        assert str(path) in message, f"the message does not name the file: {message}"
        assert "\n" not in message, f"the message is no single sentence: {message}"
        assert digest(path) == before, f"a refused store was changed: {message}"
        return "refused"
    return "sound" if found == truth else f"falsified: {found}"


def digest(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
