"""Duration of a search for the runs of one revision in a local Tiled, and where the time goes.

python tests/bench/bench_affected.py [RUNS]

One run in a thousand has the revision: these are written by TiledWriter. The others are copies of a run with another
revision, made in the SQLite file of the catalog, since TiledWriter takes 50 ms for each.
"""

import json
import sqlite3
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bluesky_tiled_plugins import TiledWriter
from tiled.client import from_uri

from catalogs import tiled_server
from ponikeeper_client.recall import affected
from ponikeeper_client.recall._catalogs import runs_with
from recalling import BEGIN, PREFIX, configured, history, iso, revision, snapshot, taken

BETWEEN = 3000.0
"""Time between two runs (s): 100,000 are those of ten years."""

_EVERY = 1000
"""Runs that are read one by one, to measure what one takes."""

_COPY = """
insert into nodes(parent, key, metadata, structure_family, specs, time_created, time_updated)
select ?, coalesce(?, key), json_set(metadata, {sets}), structure_family, specs, time_created, time_updated
from nodes where id = ?
"""


def write(client, number, count):
    """Write runs with a revision through TiledWriter, spread over the ten years."""
    writer = TiledWriter(client)
    for index in range(count):
        section = ("primary", configured(snapshot(revision(number))), [1.0, 2.0, 3.0])
        for kind, document in taken([section], begin=BEGIN + index * 1000 * BETWEEN):
            writer(kind, json.loads(json.dumps(document)))


def copy(file, count):
    """Copy the newest run of a catalog, with its stream and table."""
    with sqlite3.connect(file) as db:
        db.execute("pragma synchronous = off")
        run, begin = db.execute(
            "select id, json_extract(metadata, '$.start.time') from nodes where parent = 0 order by id desc"
        ).fetchone()
        (stream,) = db.execute("select id from nodes where parent = ?", (run,)).fetchone()
        (table,) = db.execute("select id from nodes where parent = ?", (stream,)).fetchone()
        for index in range(count):
            uid, at = str(uuid.uuid4()), begin + index * BETWEEN
            sets = "'$.start.uid', ?, '$.start.time', ?, '$.stop.time', ?"
            made = db.execute(_COPY.format(sets=sets), (0, uid, uid, at, at + 4.0, run)).lastrowid
            sets = "'$.uid', ?, '$.time', ?"
            made = db.execute(_COPY.format(sets=sets), (made, None, str(uuid.uuid4()), at + 0.5, stream)).lastrowid
            db.execute(_COPY.format(sets="'$._', 1"), (made, None, table))


def main(runs):
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), max(1, runs // 1000)
        server = tiled_server(folder)
        client = from_uri(server.uri)
        write(client, 1, few)
        write(client, 2, 1)
        copy(folder / "catalog.db", runs - few - 1)
        client.context.http_client.timeout = 600.0
        print(f"{len(client)} runs, {few} with the revision, {(folder / 'catalog.db').stat().st_size / 1e6:.0f} MB")

        began = time.perf_counter()
        runs_with(client, revision(1).uid)
        asked = time.perf_counter() - began
        began = time.perf_counter()
        result = affected(client, PREFIX, 1, history=history(2))
        whole = time.perf_counter() - began
        assert (len(result.affected), result.every_run) == (few, False)
        print(f"asked for the uid: {whole:.1f} s, of which the search in the catalog {asked:.1f} s")
        print(f"reading a run that has it: {1e3 * max(whole - asked, 0) / few:.0f} ms")

        until = iso(BEGIN + _EVERY * BETWEEN)
        began = time.perf_counter()
        result = affected(client, PREFIX, 1, history=history(2), until=until, every_run=True)
        each = (time.perf_counter() - began) / result.runs
        print(f"every run read: {1e3 * each:.1f} ms a run (of {result.runs}), {each * runs / 60:.0f} minutes for all")
        client.context.close()
        server.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
