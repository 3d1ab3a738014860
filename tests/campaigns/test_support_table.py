"""The table of supported versions: each row is run in a virtual environment of its own, and written into the page.

A row can be run alone: ``pytest -s -m campaign tests/campaigns/test_support_table.py -k "oldest and 3.11"``. With `uv`
in PATH the environments are made in seconds.
"""

import json
import os
import subprocess
from functools import partial

import numpy as np
import pytest

import version_matrix
from catalogs import tiled_server
from recalling import configured, revision, snapshot, taken
from version_matrix import PYTHONS, ROOT, Row

PAGE = ROOT / "client" / "docs" / "versions.md"
IMAGE = [[10 * row + column for column in range(6)] for row in range(5)]

ALONE = {
    "Tiled client 0.1.0b39 alone": ("tiled", ("tiled[client]==0.1.0b39",)),
    "Tiled client 0.2.20 alone": ("tiled", ("tiled[client]==0.2.20",)),
    "bluesky-tiled-plugins 2.0.2": ("tiled", ("bluesky-tiled-plugins==2.0.2",)),
    "databroker 1.2": ("databroker", ("databroker[all]>=1.2,<1.3",)),
    "databroker 2.0.0": ("databroker", ("databroker[all]==2.0.0",)),
}
"""Environments with one client of a catalog: what it is, and its requirements."""

_PASSED = {"tiled": "recall, `affected`, images", "databroker": "recall"}

pytestmark = pytest.mark.campaign


@pytest.fixture(scope="module")
def documents():
    """A run with two geometries, and an image in each event."""
    parts = [(revision(12, label="near"), [1.0, 2.0, 3.0]), (revision(13, label="far"), [6.0, 7.0])]
    documents = taken([("primary", configured(snapshot(found)), times) for found, times in parts])
    image = {"source": "SIM", "dtype": "array", "dtype_numpy": "<i8", "shape": [5, 6], "object_name": "pe1"}
    for kind, document in documents:
        if kind == "descriptor":
            document["data_keys"]["pe1_image"] = image
            document["object_keys"]["pe1"].append("pe1_image")
        elif kind == "event":
            document["data"]["pe1_image"] = IMAGE
            document["timestamps"]["pe1_image"] = document["time"]
            document["filled"] = {}
    return json.loads(json.dumps(documents))


RECALLED = [[12, [1, 2, 3], "VALID"], [13, [4, 5], "VALID"]]


@pytest.fixture(scope="module")
def served(documents, tmp_path_factory):
    """URI of a Tiled server of today that has the run."""
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri

    server = tiled_server(tmp_path_factory.mktemp("tiled"))
    client = from_uri(server.uri)
    write = TiledWriter(client)
    for kind, document in documents:
        data = {"data": {**document["data"], "pe1_image": np.array(IMAGE)}} if kind == "event" else {}
        write(kind, {**document, **data})
    yield server.uri
    client.context.close()
    server.close()


@pytest.fixture
def environment(tmp_path):
    """Make the environment of a row; if that is not possible, the table says why, and the test is skipped."""

    def made(row, *tools):
        python, why = version_matrix.make(row, tmp_path / "venv", tools)
        if python is None:
            write_row(row, {}, f"not installable: {version_matrix.cause(why)}")
            pytest.skip(f"{row.label}: {why[-2000:]}")
        return python

    return made


@pytest.mark.parametrize("row", version_matrix.rows(), ids=lambda row: row.label)
def test_tests_pass_with(row, environment):
    python = environment(row, *version_matrix.TOOLS)
    found = version_matrix.versions(python)
    status, output = version_matrix.run_tests(python, row.tests)
    summary = output.splitlines()[-1] if output else "no output"
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(f"\n{row.label}: {summary}", *failed, sep="\n")
    write_row(row, found, version_matrix.outcome(summary))
    assert status == 0, output[-5000:]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ALONE)
def test_run_is_recalled_with(name, python, environment, documents, served, tmp_path):
    kind, pins = ALONE[name]
    row = Row(name, python, pins, ("client",) if kind == "databroker" else ("catalog",))
    here = environment(row)
    found = version_matrix.versions(here)
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(documents))
    arguments = [served, documents[0][1]["uid"]] if kind == "tiled" else [str(file)]
    program = ROOT / "tests" / "support" / "recall_alone.py"
    run = partial(subprocess.run, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})
    done = run([str(here), "-W", "ignore", str(program), kind, *arguments])
    if done.returncode:
        write_row(row, found, f"fails: {version_matrix.cause(done.stderr)}")
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = {"recorded": RECALLED, "every run": [RECALLED]}
    if kind == "tiled":
        expected["images"] = [IMAGE] * 5
    print(f"\n{row.label}: {answer}")
    write_row(row, found, _PASSED[kind] if answer == expected else "fails")
    assert answer == expected


def write_row(row: Row, found: dict[str, str], outcome: str) -> None:
    """Write one row into the table of the page."""
    PAGE.write_text(version_matrix.with_row(PAGE.read_text(), row, found, outcome))
