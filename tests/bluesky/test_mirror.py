"""Histories in Tiled: copied once for all IOCs, and read from there when the IOC is gone."""

import uuid

import bluesky.plans as bp
import pytest

import speak
from ponikeeper.errors import HistoryError, NoGeometryError, NotConnectedError, RefusedError
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.recall import _lookup as lookup_module
from ponikeeper_client.recall import _mirror_copy as copy_module
from ponikeeper_client.recall import affected, best_known, geometries, read_history, timeline
from ponikeeper_client.recall._mirror import find_mirror, read_mirror
from ponikeeper_client.recall._mirror_copy import continue_copy, copy_history, make_mirror
from ponikeeper_client.report import detector_report
from recalling import BEGIN, PREFIX, configured, history, iso, judge, revision, snapshot, taken
from speak import GEOMETRY


@pytest.fixture
def catalog(servers):
    return servers[1].create_container(uuid.uuid4().hex)


@pytest.fixture
def mirror(catalog):
    return make_mirror(catalog)


@pytest.fixture
def address(servers, catalog):
    """The address of the catalog, with the key."""
    return f"{catalog.uri}?api_key={servers[0].uri.partition('?api_key=')[2]}"


def of_run(number, store="one"):
    return taken([("primary", configured(snapshot(revision(number, store))), [1.0])])


def test_copies_add_only_what_is_new(mirror):
    assert copy_history(mirror, history(0)) is None
    assert [copy_history(mirror, history(count)).added for count in (2, 2, 3)] == [4, 0, 2]
    later = history(3, [judge(1, 1, by=2)])
    assert copy_history(mirror, later).added == 1
    (found,) = read_mirror(mirror, PREFIX)
    assert found.by_kind() == later.by_kind()
    assert len(mirror[later.revisions[0].uid]) == 3  # batches


def since(copied, whole):
    """Return the records of a history from the newest ones on that a mirror has."""
    return {kind: records[max(0, copied.counts.get(kind, 0) - 1) :] for kind, records in whole.by_kind().items()}


def test_copy_is_continued_with_the_new_records_alone(mirror):
    first = copy_history(mirror, history(3, [judge(1, 1)]))
    same = continue_copy(mirror, first, iso(BEGIN), since(first, history(3, [judge(1, 1)])))
    assert (same.added, same.total, same.batches) == (0, 7, 1)
    whole = history(5, [judge(1, 1), judge(2, 2)])
    later = continue_copy(mirror, same, iso(BEGIN), since(same, whole))
    assert (later.added, later.total, later.batches) == (5, 12, 2)
    (found,) = read_mirror(mirror, PREFIX)
    assert (found.by_kind(), found.exported) == (whole.by_kind(), iso(BEGIN))
    assert copy_history(mirror, whole).added == 0
    again = continue_copy(mirror, first, iso(BEGIN), since(first, whole))
    assert again is None  # another process has continued the copy meanwhile


def test_history_that_does_not_continue_the_copied_one_is_refused(mirror):
    copied = copy_history(mirror, history(3, [judge(1, 1, by=2)]))
    with pytest.raises(RefusedError, match="revision 3 differs: in the store it is the one made"):
        continue_copy(mirror, copied, iso(BEGIN), since(copied, history(5, [judge(1, 1, by=2)], store="two")))
    with pytest.raises(RefusedError, match=r"has more records .* restored from an older backup"):
        continue_copy(mirror, copied, iso(BEGIN), since(copied, history(3)))
    assert len(copied.folder) == 1


def test_older_copy_or_another_history_of_the_numbers_is_refused(mirror):
    copy_history(mirror, history(2, [judge(1, 1, by=2)]))
    with pytest.raises(RefusedError, match=r"has more records .* restored from an older backup"):
        copy_history(mirror, history(2))
    with pytest.raises(RefusedError, match="judgement 1 differs"):
        copy_history(mirror, history(2, [judge(1, 2, by=1)]))


def test_interrupted_copy_is_continued(mirror, monkeypatch):
    """The connection is lost after two of four parts."""
    monkeypatch.setattr(copy_module, "_BATCH", 3)
    whole, create = history(6), copy_module._create

    def lost(parent, key, *rest):
        if key == "00000003":
            raise OSError("connection lost")
        return create(parent, key, *rest)

    monkeypatch.setattr(copy_module, "_create", lost)
    with pytest.raises(OSError, match="connection lost"):
        copy_history(mirror, whole)
    assert read_mirror(mirror) == []
    monkeypatch.setattr(copy_module, "_create", create)
    assert copy_history(mirror, whole).added == 12
    (found,) = read_mirror(mirror)
    assert found.by_kind() == whole.by_kind()


def test_changed_record_is_reported_with_its_place(mirror):
    copy_history(mirror, history(1))
    batch = mirror[revision(1).uid]["00000001"]
    lines = [line.replace("alice", "mallory") for line in batch.metadata["lines"]]
    batch.update_metadata({"lines": lines})
    with pytest.raises(HistoryError, match=r"00000001: the checksum of activation 1 .* does not match"):
        read_mirror(mirror, PREFIX)


def test_two_stores_of_one_prefix_are_told_apart_by_uid(catalog, mirror):
    one, two = history(2, [judge(1, 1, by=2)]), history(3, store="two")
    copy_history(mirror, one)
    copy_history(mirror, two)
    copy_history(mirror, history(1, prefix="Y{Det:2}Calib:"))
    assert [each.uid for each in best_known(of_run(1), history=catalog)] == [revision(2).uid]
    assert [each.uid for each in best_known(of_run(1, "two"), history=catalog)] == [revision(1, "two").uid]
    with pytest.raises(NoGeometryError, match="the store was created again"):
        best_known(of_run(1, "three"), history=catalog)
    with pytest.raises(HistoryError, match=rf"2 histories of .*{revision(1, 'two').uid} of .*expected one history"):
        read_history(PREFIX, mirror=catalog)
    for whole in (one, two):
        entry = mirror[whole.revisions[0].uid]
        assert read_history(PREFIX, mirror=entry).by_kind() == whole.by_kind()
        assert len(timeline(read_history(PREFIX, mirror=entry))) == len(whole.revisions)
    with pytest.raises(RefusedError, match=r"is the history of X.*: expected one of Y"):
        read_history("Y{Det:2}Calib:", mirror=entry)
    assert read_history("Y{Det:2}Calib:", mirror=catalog).counts()["revision"] == 1


def test_mirror_of_the_environment_is_read_where_no_ioc_answers(mirror, address, monkeypatch, caplog):
    one, two = history(2, [judge(1, 1, by=2)]), history(3, store="two")
    copy_history(mirror, one)
    copy_history(mirror, two)
    copy_history(mirror, history(1, prefix="Y{Det:2}Calib:"))
    with pytest.raises(
        NotConnectedError, match=r"X.*History:Read .*give its exported history as history= .*PONIKEEPER_MIRROR"
    ):
        best_known(of_run(1), timeout=0.2)
    monkeypatch.setenv("PONIKEEPER_MIRROR", address)
    monkeypatch.setattr(lookup_module, "_silent", set())
    assert [each.uid for each in best_known(of_run(1), timeout=0.2)] == [revision(2).uid]
    assert [each.uid for each in best_known(of_run(1, "two"), timeout=0.2)] == [revision(1, "two").uid]
    shown = address.partition("?")[0]
    assert [each.message for each in caplog.records if each.name == lookup_module.__name__] == [
        f"the IOC of {PREFIX} does not answer: its history is read from the mirror {shown}"
    ]
    (event,) = geometries(of_run(1), best=True, timeout=0.2)
    assert (event.uid, event.geometry) == (revision(2).uid, revision(2).geometry)
    assert affected({}, "Y{Det:2}Calib:", 1, timeout=0.2).runs == 0
    assert "made from a history, without the IOC" in detector_report("Y{Det:2}Calib:", timeout=0.2)
    for ask in (lambda: read_history("Z:", timeout=0.2), lambda: best_known(of_run(1, "three"), timeout=0.2)):
        with pytest.raises(
            NotConnectedError, match=r":History:Read .*; the mirror http.* \(PONIKEEPER_MIRROR\): "
        ) as raised:
            ask()
        assert "api_key" not in str(raised.value)


def test_catalog_without_a_mirror_is_reported(catalog):
    with pytest.raises(HistoryError, match="has no mirror of histories"):
        find_mirror(catalog)


def test_history_is_read_from_tiled_when_the_ioc_is_gone(
    make_ioc, make, run_engine, servers, catalog, address, call_heavy, monkeypatch
):
    ioc = make_ioc().start()
    calib = make(CalibrationData, ioc.prefix, "calib")
    speak.request(ioc.prefix, speak.commit_text("one", geometry=GEOMETRY))
    documents = []
    run_engine(bp.count([calib]), lambda *pair: documents.append(pair))
    key = servers[0].uri.partition("?api_key=")[2]
    command = ("mirror", ioc.config, catalog.uri)
    done = call_heavy(*command, TILED_API_KEY=key)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{ioc.prefix}: 2 new records, 2 in all\n" in done.stdout
    assert f"{ioc.prefix}: 0 new records, 2 in all\n" in call_heavy(*command, TILED_API_KEY=key).stdout
    ioc.stop()
    done = call_heavy(*command, TILED_API_KEY=key)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert best_known(documents, history=address)[0].revision == 1
    assert list(timeline(read_history(ioc.prefix, mirror=address))["revision"]) == [1]
    assert affected(catalog, ioc.prefix, 1, history=address).affected == []
    assert affected(catalog, ioc.prefix, 1, history=catalog, every_run=True).runs == 0  # a mirror has no runs
    monkeypatch.setenv("PONIKEEPER_MIRROR", address)
    assert best_known(documents, timeout=0.5)[0].revision == 1
    ioc.store.unlink()
    ioc.start()
    speak.request(ioc.prefix, speak.commit_text("again", geometry=GEOMETRY))
    (known,) = best_known(documents)
    assert known.uid == known.recorded.uid  # revision 1 of the IOC is now another one
    monkeypatch.delenv("PONIKEEPER_MIRROR")
    with pytest.raises(NoGeometryError, match="it is another geometry of the same number"):
        best_known(documents)
