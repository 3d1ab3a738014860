"""The structure of a detector: never torn, put whole, and each put with its own verdict."""

import itertools
import json
import threading

import pytest

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME, snapshot_of
from ponikeeper.protocol.snapshot import Snapshot
from pva_clients import connected, get, monitoring, put
from speak import GEOMETRY

WHOLE = {**GEOMETRY, "detector_config": "{}", "label": "near"}


@pytest.fixture
def pv(ioc, client):
    """The structure of the first detector, which has a geometry."""
    name = f"{ioc.prefix}{NAME}"
    assert put(client, name, WHOLE) is None
    return name


def written(number):
    """Return a put whose fields all tell its number."""
    dist = 0.2 + number * 1e-6
    return {
        "dist": dist, "poni1": dist / 4, "rot1": dist / 8, "position": "unknown",
        "provenance": json.dumps({"method": "manual", "comment": repr(dist), "sigma": {"dist": dist / 100}}),
    }  # fmt: skip


def is_torn(value):
    """Whether the fields are not all of one put."""
    if value.revision <= 1 or value.poni1 == GEOMETRY["poni1"]:
        return False
    provenance = json.loads(value.provenance)
    return not (
        value.poni1 == value.dist / 4
        and value.rot1 == value.dist / 8
        and provenance["comment"] == repr(value.dist)
        and value.sigma.dist == value.dist / 100 == provenance["sigma"]["dist"]
        and value.revision == value.serial
    )


def read_while_two_write(make_ioc, reads):
    """Read the structure while one client puts it over PVAccess and one by Channel Access; return what was torn.

    It is read at least `reads` times, and on until there was a revision for each fifty reads: reading may be faster.
    """
    ioc = make_ioc(pva=True).start()
    pv, numbers, over = f"{ioc.prefix}{NAME}", itertools.count(1), threading.Event()
    refused = []

    def write_over_pva():
        with connected(ioc.pva_port) as client:
            while not over.is_set():
                refused.append(put(client, pv, written(next(numbers))))

    def write_over_ca():
        while not over.is_set():
            fields = written(next(numbers))
            geometry = {name: fields[name] for name in ("dist", "poni1", "rot1")}
            text = speak.commit_text(
                f"r{next(numbers)}", geometry=geometry, provenance=json.loads(fields["provenance"])
            )
            refused.append(speak.put(f"{ioc.prefix}Request", text))

    values, enough = [], reads / 50

    def revisions():
        return len({value.revision for value in values})

    with connected(ioc.pva_port) as client:

        def has_read_enough():
            values.append(get(client, pv))
            return len(refused) > enough and revisions() > enough

        assert put(client, pv, WHOLE) is None
        writers = [threading.Thread(target=write) for write in (write_over_pva, write_over_ca)]
        for writer in writers:
            writer.start()
        try:
            with monitoring(client, pv) as updates:
                values += [get(client, pv) for _ in range(reads)]
                wait_for(has_read_enough, what="a revision for each fifty reads")
        finally:
            over.set()
            for writer in writers:
                writer.join()
    by_revision = {}
    torn = [value for value in (*values, *updates) if is_torn(value)]
    torn += [value for value in values if by_revision.setdefault(value.revision, value.uid) != value.uid]
    assert not any(refused)
    commits = len(refused)
    print(f"{len(values)} reads and {len(updates)} updates during {commits} commits: {len(torn)} torn")
    assert commits > enough
    assert revisions() > enough
    return torn


def test_structure_is_never_torn_while_two_clients_commit(make_ioc):
    assert read_while_two_write(make_ioc, 300) == []


@pytest.mark.campaign
def test_structure_is_never_torn_in_5000_reads(make_ioc):
    assert read_while_two_write(make_ioc, 5000) == []


def test_two_clients_that_put_at_once_get_each_its_own_verdict(ioc, client, pv):
    rounds, accepted = 20, 0
    with connected(ioc.pva_port) as other:
        for number in range(rounds):
            present = get(client, pv)
            verdicts = [None, None]
            start = threading.Barrier(2)

            def run(index, context, present=present, verdicts=verdicts, start=start, number=number):
                start.wait()
                fields = {"dist": 0.3 + number * 1e-3 + index * 1e-5, "serial": present.serial}
                verdicts[index] = put(context, pv, fields)

            threads = [threading.Thread(target=run, args=(i, context)) for i, context in enumerate((client, other))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            won = verdicts.index(None)
            assert get(client, pv).dist == 0.3 + number * 1e-3 + won * 1e-5
            assert verdicts[1 - won].startswith(f"expect_serial {present.serial} is outdated")
            accepted += 1
    assert accepted == rounds


def test_structure_is_the_snapshot(ioc, client, pv):
    value = get(client, pv)
    assert value.getID() == "ponikeeper:Geometry:1.0"
    snapshot = Snapshot.from_json(speak.get(f"{ioc.prefix}Snapshot_RBV"))
    assert snapshot_of(ioc.prefix, value.todict()) == snapshot
    assert snapshot.geometry is not None


def test_structure_that_was_read_changed_and_put_back_changes_one_value(client, pv):
    value = get(client, pv)
    value.dist = 0.251
    value.mark()
    assert put(client, pv, value) is None
    after = get(client, pv)
    assert (after.dist, after.label, after.revision) == (0.251, "near", value.revision + 1)
    assert json.loads(after.provenance)["derived_from"] == value.revision
    assert put(client, pv, value).startswith(f"expect_serial {value.serial} is outdated")


def test_put_that_is_refused_changes_nothing_and_has_every_reason(ioc, client, pv):
    before, counters = get(client, pv), speak.counters(ioc.prefix)
    error = put(client, pv, {"dist": -1.0, "rot1": 9.0, "detector_config": "{}"})
    assert error.startswith("dist -1.0 m is out of range")
    assert "; rot1 9.0 rad looks like degree" in error
    assert str(get(client, pv)) == str(before)
    assert speak.counters(ioc.prefix) == (counters[0], counters[1] + 1)
    assert speak.get(f"{ioc.prefix}Message_RBV").endswith(error)


def test_put_is_on_disk_and_active_over_both_protocols_when_it_is_answered(ioc, client, pv):
    for number in range(20):
        dist = 0.26 + number * 1e-4
        assert put(client, pv, {"dist": dist}) is None
        assert speak.get(f"{ioc.prefix}Dist_RBV") == dist
        assert speak.put(f"{ioc.prefix}Dist", dist + 5e-5) is None
        assert get(client, pv).dist == dist + 5e-5


def test_label_alone_is_put_and_monitored(client, pv):
    with monitoring(client, pv) as updates:
        assert put(client, pv, {"label": "far"}) is None
        wait_for(lambda: updates[-1].label == "far")
    assert updates[-1].revision == updates[0].revision
