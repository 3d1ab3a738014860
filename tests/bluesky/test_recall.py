"""Runs of a live IOC in Tiled and databroker: each geometry is read back, and its best known replacement."""

import dataclasses
import json
import random
import re
import threading
import time
import uuid
from contextlib import contextmanager

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from ophyd import Component as Cpt
from ophyd import Device, Signal

import speak
from live import TIMEOUT
from ponikeeper.errors import ConfigError, HistoryError, NoGeometryError, NotConnectedError, NotValidError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import LinkState
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.recall import affected, azimuthal_integrator, best_known, recorded
from ponikeeper_client.recall._affected_report import Bounds, print_affected
from ponikeeper_client.recall._catalogs import each_run, open_catalog
from recalling import configured, history, iso, placed, revision, snapshot, taken
from speak import GEOMETRY
from terminals import Terminal

DAY = 86400.0


class Panel(Device):
    """A detector whose data are numbers, which every catalog stores unchanged."""

    total = Cpt(Signal, value=1.0, kind="normal")
    calib = Cpt(CalibrationData, "Calib:", kind="config")


@pytest.fixture
def address(servers, catalogs):
    """URI of the folder in Tiled, and its API key."""
    server, _, _ = servers
    return catalogs.tiled.uri, server.uri.partition("?api_key=")[2]


@pytest.fixture
def documents_of(run_engine):
    """Run a plan, and give its documents as they came."""

    def run(plan):
        found = []
        run_engine(plan, lambda kind, document: found.append((kind, document)))
        return found

    return run


def dist_of(number):
    return 0.2 + 0.01 * number


def commit(prefix, number, **values):
    geometry = GEOMETRY | {"dist": dist_of(number)} | values
    result = speak.request(prefix, speak.commit_text(f"commit-{number}", geometry=geometry))
    assert (result["outcome"], result["revision"]) == ("accepted", number), result
    return Geometry(**geometry)


def ask(prefix, op, **values):
    request = {"v": 1, "request": f"{op}-{random.random()}", "op": op, **values}
    result = speak.request(prefix, json.dumps(request))
    assert result["outcome"] == "accepted", result


def shifted(documents, by):
    """Shift a run in time: its start, descriptors, events and stop."""
    return [(kind, {**document, "time": document["time"] + by}) for kind, document in documents]


# --- what the catalogs keep


UNKNOWN = snapshot(None, status="UNKNOWN")
ONE, TWO = revision(1, label="near"), revision(2)


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param([(ONE, "primary", [1.0, 2.0, 3.0])], marks=pytest.mark.campaign),  # as the first part of the next
        [(ONE, "primary", [1.0, 2.0]), (TWO, "primary", [4.0]), (ONE, "primary", [6.0, 7.0, 8.0])],
        [(ONE, "dark", [1.0]), (TWO, "primary", [3.0, 4.0]), (ONE, "primary", [6.0])],
        [(None, "primary", [1.0]), (ONE, "primary", [3.0]), (None, "primary", [5.0, 6.0])],
        [(ONE, "primary", [1.0]), (TWO, "primary", []), (ONE, "primary", [5.0])],
        [(ONE, "primary", [])],
    ],
)
def test_every_catalog_returns_the_geometries_of_the_documents(catalogs, sections):
    parts = [(stream, configured(snapshot(found)), times) for found, stream, times in sections]
    documents = taken(parts)
    uid = catalogs.insert(documents)
    truth = recorded(documents)
    assert sum(len(each.events) for each in truth) == sum(len(times) for _, _, times in sections)
    for name, run in catalogs.runs_with_and_without_plugins(uid).items():
        found = recorded(run)
        assert sorted(found, key=_place) == sorted(truth, key=_place), name


def _place(each):
    return each.stream, each.begins, each.seq_nums


def test_missing_geometry_is_not_taken_from_the_previous_descriptor(catalogs):
    """The descriptors of Tiled do that, and would give the second event the geometry of the first."""
    parts = [configured(snapshot(ONE)), configured(snapshot(None, status="UNKNOWN"))]
    parts[1]["pe1"]["data"]["pe1_calib_status"] = "UNKNOWN"
    uid = catalogs.insert(taken([("primary", each, [at]) for each, at in zip(parts, (1.0, 3.0), strict=True)]))
    carried = catalogs.tiled[uid]["primary"].descriptors[1]["configuration"]["pe1"]["data"]
    assert carried["pe1_calib_dist"] == ONE.geometry.dist
    first, second = recorded(catalogs.tiled[uid])
    assert (first.geometry, second.geometry, second.seq_nums) == (ONE.geometry, None, (2,))
    assert "the IOC did not answer" in second.reason


def test_events_that_tiled_cannot_assign_are_reported_as_unknown(catalogs):
    """The clock was set back by half a minute between two points: databroker knows, Tiled does not."""
    documents = taken([("primary", configured(snapshot(each)), [at]) for each, at in ((ONE, 60.0), (TWO, 62.0))])
    back = [
        (kind, {**each, "time": each["time"] - 30.0}) if kind == "event" and each["seq_num"] == 2 else (kind, each)
        for kind, each in documents
    ]
    uid = catalogs.insert(back)
    assert [each.seq_nums for each in recorded(catalogs.broker[uid])] == [(1,), (2,)]
    found = recorded(catalogs.tiled[uid])
    assert [(each.revision, each.seq_nums) for each in found] == [(1, ()), (2, ())]
    assert all("is older than the first descriptor" in each.events_unknown for each in found)
    with pytest.raises(
        NoGeometryError, match=r"no geometry of event 1 was recorded: recorded are pe1 primary \(an event"
    ):
        azimuthal_integrator(catalogs.tiled[uid], event=1)


def test_catalog_returns_the_same_kind_of_run_after_one_was_read(catalogs):
    """To read `v2` of a run of Tiled changes it for all runs of the client, so that their columns are not found."""
    uid = catalogs.insert(taken([("primary", configured(snapshot(ONE)), [1.0])]))
    before = type(catalogs.tiled[uid]["primary"])
    recorded(catalogs.tiled[uid])
    assert type(catalogs.tiled[uid]["primary"]) is before


def test_nan_is_read_from_tiled_as_missing(catalogs):
    lost = configured(snapshot(ONE))
    lost["pe1"]["data"]["pe1_calib_dist"] = float("nan")
    documents = taken([("primary", lost, [1.0])])
    catalogs.insert_into_tiled(documents)
    (found,) = recorded(catalogs.tiled[documents[0][1]["uid"]])
    assert found.reason.endswith("no whole geometry of pe1: dist missing")


# --- a live IOC


@pytest.fixture
def panel(make, prefix):
    return make(Panel, prefix.removesuffix("Calib:"), "pe1")


def changing(panel, numbers, points=2):
    """Record some points with each of several revisions in one run."""

    @bpp.run_decorator(md={"detectors": [panel.name]})
    def plan():
        for number in numbers:
            ask(panel.calib.prefix, "activate", revision=number, force=True)
            yield from bps.configure(panel, {})
            for _ in range(points):
                yield from bps.trigger_and_read([panel])

    return plan()


def test_best_known_of_a_live_ioc_includes_later_corrections(panel, catalogs, documents_of):
    prefix = panel.calib.prefix
    geometries = [commit(prefix, number) for number in (1, 2, 3)]
    uid = catalogs.insert(documents_of(changing(panel, (1, 2))))
    for run in catalogs.runs(uid).values():
        assert [(each.revision, each.corrected) for each in best_known(run)] == [(1, False), (2, False)]
    ask(prefix, "supersede", revision=1, by=3, reason="wavelength typed wrong")
    ask(prefix, "retract", revision=2, reason="beam stop touched the detector")
    for run in catalogs.runs(uid).values():
        first, second = best_known(run)
        assert (first.revision, first.geometry, first.seq_nums) == (3, geometries[2], (1, 2))
        assert (second.geometry, second.seq_nums) == (None, (3, 4))
        assert "superseded by revision 3: wavelength typed wrong [" in first.summary
        assert "retracted: beam stop touched the detector" in second.reason
        assert first.authority == f"the IOC of {prefix}, now"
        assert azimuthal_integrator(run, event=1, best=True, shape=(9, 9)).dist == dist_of(3)
        assert azimuthal_integrator(run, event=1, shape=(9, 9)).dist == dist_of(1)


class PerEvent(Panel):
    """A detector that reads serial and status with each event."""

    calib = Cpt(CalibrationData, "Calib:", kind="config", per_event=True)


def test_status_and_serial_of_each_event_come_back_from_every_catalog(make, prefix, catalogs, documents_of):
    """Without the guard there is one descriptor, which is wrong for all but the first event."""
    panel = make(PerEvent, prefix.removesuffix("Calib:"), "pe1")
    for number in (1, 2):
        commit(prefix, number)
    ask(prefix, "activate", revision=1)

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel])
        ask(prefix, "retract", revision=1, reason="it was off")
        yield from bps.trigger_and_read([panel])
        ask(prefix, "activate", revision=2)
        yield from bps.trigger_and_read([panel])

    documents = documents_of(plan())
    assert [kind for kind, _ in documents].count("descriptor") == 1
    uid = catalogs.insert(documents)
    expected = [("UNWATCHED", (1,)), ("RETRACTED", (2,)), ("UNKNOWN", (3,))]
    for name, run in (("documents", documents), *catalogs.runs_with_and_without_plugins(uid).items()):
        assert [(each.status, each.seq_nums) for each in recorded(run)] == expected, name
        for event, status in ((2, "RETRACTED"), (3, "UNKNOWN: serial 4 was active when the event was read")):
            with pytest.raises(NotValidError, match=status):
                azimuthal_integrator(run, event=event, shape=(9, 9))


def test_moved_run_is_integrated_with_the_revision_that_was_calibrated_where_the_detector_was(catalogs):
    """The near revision was active at far; Tiled and databroker keep the recorded links."""
    link = LinkState("z", "X:z", "motor", "mm", 0.1, 1000.0, 200.0, False, True, False)
    near, far = placed(1, 200.0), placed(2, 1000.0)
    moved = dataclasses.replace(snapshot(near, status="MOVED"), reason="z is at 1000 mm", link_states=(link,))
    uid = catalogs.insert(taken([("primary", configured(moved), [1.0, 2.0])]))
    known = dataclasses.replace(history(2), revisions=(near, far))
    for run in catalogs.runs(uid).values():
        for options in ({}, {"best": True, "history": known}):
            with pytest.raises(NotValidError, match="the status is MOVED: z"):
                azimuthal_integrator(run, shape=(9, 9), **options)
        assert azimuthal_integrator(run, revision=2, history=known, shape=(9, 9)).dist == far.geometry.dist


def test_correction_is_known_at_once_although_the_same_query_was_made_before(panel, documents_of):
    """The previous value of the PV is never taken for the reply."""
    prefix = panel.calib.prefix
    commit(prefix, 1)
    documents = documents_of(bp.count([panel]))
    for number in range(2, 12):
        commit(prefix, number)
        speak.put(f"{prefix}History:Read", "judgement 1")  # whose answer is old when it is asked again
        ask(prefix, "supersede", revision=number - 1, by=number, reason="again")
        (found,) = best_known(documents)
        assert (found.revision, len(found.chain)) == (number, number - 1)


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.campaign)])
def test_concurrent_queries_of_other_clients_do_not_interfere(panel, documents_of, count):
    prefix = panel.calib.prefix
    geometries = [commit(prefix, number) for number in (1, 2)]
    ask(prefix, "supersede", revision=2, by=1, reason="wrong")
    documents = documents_of(bp.count([panel]))
    enough = threading.Event()

    def hammer():
        while not enough.is_set():
            speak.put(f"{prefix}History:Read", "activation 1")

    other = threading.Thread(target=hammer)
    other.start()
    try:
        for _ in range(count):
            assert best_known(documents)[0].geometry == geometries[0]
    finally:
        enough.set()
        other.join(TIMEOUT)


def test_more_corrections_than_fit_one_reply_are_all_read(panel, documents_of):
    prefix = panel.calib.prefix
    commit(prefix, 1)
    commit(prefix, 2)
    documents = documents_of(bp.count([panel]))  # revision 2
    for number in range(60):
        ask(prefix, "supersede", revision=1, by=2, reason=f"{number} " + "x" * 300)
    ask(prefix, "retract", revision=2, reason="the last one")
    assert "the last one" in best_known(documents)[0].reason


def test_stopped_ioc_is_reported_with_what_to_do(make_ioc, make, documents_of):
    ioc = make_ioc().start()
    panel = make(Panel, ioc.prefix.removesuffix("Calib:"), "pe1")
    commit(ioc.prefix, 1)
    documents = documents_of(bp.count([panel]))
    ioc.stop()
    with pytest.raises(
        NotConnectedError, match=r"does not answer.*give its exported history as history= .*PONIKEEPER_MIRROR"
    ):
        best_known(documents, timeout=1.0)


def right(rules, number, at):
    """Return by the rules themselves the revision that is right for a time; None where there is none."""
    for wrong, by, since, until in reversed(rules):
        if wrong == number and (since is None or since <= at) and (until is None or at < until):
            return None if by is None else right(rules, by, at)
    return number


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.campaign)])
def test_wrong_wavelength_that_is_found_a_week_later(panel, catalogs, documents_of, count):
    """Every event of every run gets the geometry that is right for its time, from Tiled and from databroker."""
    prefix, dice = panel.calib.prefix, random.Random(count)
    geometries = {number: commit(prefix, number) for number in range(1, 7)}
    truth, times = {}, []
    begin = time.time() - 14 * DAY
    for index in range(count):
        numbers = [dice.randint(1, 5) for _ in range(dice.choice((1, 1, 2, 3)))]
        documents = documents_of(changing(panel, numbers, points=2))
        at = begin + index * 7 * DAY / count
        moved = shifted(documents, at - documents[0][1]["time"])
        events = [document for kind, document in moved if kind == "event"]
        taken_with = [number for number in numbers for _ in range(2)]
        uid = catalogs.insert(moved)
        truth[uid] = [(event["seq_num"], event["time"], n) for event, n in zip(events, taken_with, strict=True)]
        times += [event["time"] for event in events]
    times.sort()

    def between(part):
        """Return a time between two events, mostly of one run."""
        place = int(part * len(times)) // 2 * 2
        return round((times[place] + times[place + 1]) / 2, 6)

    rules = [
        (1, 2, between(0.3), None),  # the wavelength was typed wrong from an instant on
        (2, 6, between(0.6), None),  # a chain, for later
        (3, 4, between(0.2), between(0.7)),  # a bump
        (4, None, None, None),  # retracted
        (4, 6, between(0.5), None),  # and mended from an instant on
        (5, 6, None, None),
        (5, 2, between(0.5), between(0.8)),  # a later word about the same
    ]
    for wrong, by, since, until in rules:
        instants = {"since": since and iso(since), "until": until and iso(until)}
        if by is None:
            ask(prefix, "retract", revision=wrong, reason="wrong")
        else:
            ask(prefix, "supersede", revision=wrong, by=by, reason="wrong", **instants)
    wrong, changed, asked = [], 0, 0
    for uid, events in truth.items():
        expected = {seq_num: right(rules, number, at) for seq_num, at, number in events}
        for name in ("Tiled", "databroker 2"):
            known = best_known(catalogs.runs(uid)[name])
            found = {seq_num: (each.revision, each.geometry) for each in known for seq_num in each.seq_nums}
            wanted = {seq_num: (n, n and geometries[n]) for seq_num, n in expected.items()}
            wrong += [(uid, name)] * (found != wanted)
            changed += sum(each.corrected for each in known)
            asked += len(found)
    print(
        f"\n{count} runs, {asked} events asked of two catalogs, {changed} geometries judged since: {len(wrong)} wrong"
    )
    assert changed
    assert wrong == []


# --- a store that was lost


@contextmanager
def begun_anew(ioc):
    """Restart the IOC with an empty store."""
    ioc.stop()
    for file in ioc.state_dir.glob("ponikeeper.sqlite*"):
        file.unlink()
    ioc.start()
    speak.forget()
    yield


@pytest.mark.parametrize("count", [2, pytest.param(30, marks=pytest.mark.campaign)])
def test_new_store_after_a_loss_never_gives_another_geometry(
    make_ioc, make, catalogs, address, documents_of, call, tmp_path, capsys, count
):
    ioc = make_ioc().start()
    panel = make(Panel, ioc.prefix.removesuffix("Calib:"), "pe1")
    prefix, export = ioc.prefix, tmp_path / "old.jsonl"
    old = {number: commit(prefix, number) for number in (1, 2, 3)}
    uids = [catalogs.insert(documents_of(changing(panel, (1, 2)))) for _ in range(count)]
    ask(prefix, "supersede", revision=2, by=3, reason="wrong")
    done = call("export", "history", prefix, "-o", export)
    assert done.returncode == 0, done.stderr
    with begun_anew(ioc):
        for number in (1, 2, 3):
            commit(prefix, number, poni1=0.3)
        panel.calib.wait_for_connection(timeout=TIMEOUT)
        for uid in uids:
            for run in catalogs.runs(uid).values():
                with pytest.raises(NoGeometryError, match="the store was created again; give the exported history"):
                    best_known(run)
                found = best_known(run, history=export)
                assert [(each.revision, each.geometry) for each in found] == [(1, old[1]), (3, old[3])]
        new = catalogs.insert(documents_of(changing(panel, (2,))))
        assert found_affected(capsys, prefix, 2, address)["same_number_other_uid"] is None  # not searched
        now = found_affected(capsys, prefix, 2, address, every_run=True)
        then = found_affected(capsys, prefix, 2, address, [export], every_run=True)
    assert {each["run_uid"] for each in now["affected"]} == {new}
    assert {each["run_uid"] for each in now["same_number_other_uid"]} == set(uids)
    assert {each["run_uid"] for each in then["affected"]} == set(uids)
    assert {each["run_uid"] for each in then["same_number_other_uid"]} == {new}


# --- which runs were taken with it


def found_affected(capsys, prefix, number, address, files=(), **bounds):
    """Return the output of `ponikeeper affected --json`, run in this process."""
    capsys.readouterr()
    print_affected(prefix, number, "?api_key=".join(address), files, as_json=True, bounds=Bounds(**bounds))
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def three_runs(panel, catalogs, documents_of):
    """Three runs: with revision 1, with 1 and 2, and with 2."""
    for number in (1, 2, 3):
        commit(panel.calib.prefix, number)
    return [catalogs.insert(documents_of(changing(panel, numbers))) for numbers in ((1,), (1, 2), (2,))]


@pytest.mark.parametrize("every_run", [False, True])
def test_affected_names_runs_streams_and_events(panel, three_runs, address, capsys, every_run):
    """A catalog that is asked for the uid has the same answer as reading every run."""
    report = found_affected(capsys, panel.calib.prefix, 1, address, every_run=every_run)
    others = [] if every_run else None
    assert (report["every_run"], report["unreadable"], report["same_number_other_uid"]) == (every_run, [], others)
    assert report["runs"] == (3 if every_run else 2)
    places = [(each["run_uid"], each["detector"], each["stream"], each["events"]) for each in report["affected"]]
    assert sorted(places) == sorted((uid, "pe1", "primary", [1, 2]) for uid in three_runs[:2])
    assert {(tuple(each["judged"]), each["right"], each["scan_id"] > 0) for each in report["affected"]} == {
        ((), 1, True)
    }


@pytest.mark.parametrize("every_run", [False, True])
def test_affected_is_bounded_and_continued(panel, three_runs, catalogs, every_run):
    def uids(**bounds):
        result = affected(catalogs.tiled, panel.calib.prefix, 1, every_run=every_run, **bounds)
        return [one.run_uid for one in result.affected], result.runs

    def start(number):
        """Return a time just before a run began: a timestamp is rounded."""
        return iso(catalogs.tiled[three_runs[number]].metadata["start"]["time"] - 1e-3)

    first, second, _ = three_runs
    assert uids()[0] == [first, second]
    assert uids(since=start(1)) == ([second], 2 if every_run else 1)
    assert uids(until=start(1)) == ([first], 1)
    assert uids(after=first) == ([second], 2 if every_run else 1)
    with pytest.raises(RefusedError, match="no run nonsense is among those that are searched"):
        uids(after="nonsense")
    with pytest.raises(RefusedError, match="until 'yesterday' is not a time: expected 2026-11-22T09:30:00Z, "):
        uids(until="yesterday")
    with pytest.raises(RefusedError, match="no run began since 2026-02-01 and until 2026-01-01: expected the earlier"):
        uids(since="2026-02-01", until="2026-01-01")
    with pytest.raises(ConfigError, match="'near' is not the number of a revision"):
        affected(catalogs.tiled, panel.calib.prefix, "near")
    with pytest.raises(RefusedError, match="a run is given: expected the catalog that has it"):
        affected(catalogs.tiled[first], panel.calib.prefix, 1)
    begun = catalogs.tiled[first].metadata["start"]["time"]
    day = time.strftime("%Y-%m-%d", time.localtime(begun))  # of this host; a run at midnight may be on the next one
    assert first in uids(since=day, until=day)[0]
    assert uids(until="2026-01-01")[0] == []


def test_runs_that_ended_before_the_revision_was_made_are_not_read(panel, catalogs, documents_of):
    prefix = panel.calib.prefix
    commit(prefix, 1)
    documents = documents_of(bp.count([panel]))
    catalogs.insert(shifted(documents, -3 * DAY))
    result = affected(catalogs.tiled, prefix, 1, every_run=True)
    assert (result.runs, result.affected) == (0, [])


def test_client_without_deep_search_reads_every_run(panel, three_runs, catalogs, monkeypatch):
    """Such as those before Tiled 0.2.20."""
    monkeypatch.delattr("tiled.client.container.Container.search_deep")
    result = affected(catalogs.tiled, panel.calib.prefix, 1)
    assert (result.every_run, result.runs) == (True, 3)
    assert [one.run_uid for one in result.affected] == three_runs[:2]


def test_affected_prints_uids_to_a_pipe_and_takes_the_key_from_the_environment(panel, three_runs, address, call_heavy):
    prefix, (uri, key) = panel.calib.prefix, address
    done = call_heavy("affected", prefix, 2, uri, COLUMNS="40", TILED_API_KEY=key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == three_runs[1:]
    done = call_heavy("affected", prefix, 2, uri, "--after", three_runs[1], TILED_API_KEY=key)
    assert done.stdout.splitlines() == three_runs[2:]


def test_affected_prints_later_corrections_at_a_terminal(panel, three_runs, address, heavy_forks):
    prefix = panel.calib.prefix
    ask(prefix, "supersede", revision=2, by=3, reason="wavelength typed wrong")
    with Terminal(heavy_forks, "affected", prefix, 2, "?api_key=".join(address), "--every-run") as terminal:
        shown = terminal.read_until(three_runs[2])
        shown = terminal.read_until("└")
    assert f"2 of 3 runs have revision 2 of {prefix}\n" in shown
    assert three_runs[0] not in shown
    for uid, events in ((three_runs[1], "3-4"), (three_runs[2], "1-2")):
        (line,) = (line for line in shown.splitlines() if uid in line)
        assert events in line
        assert "revision 3 is right, UNWATCHED: wavelength typed wrong" in line


@pytest.mark.parametrize(
    ("asked", "number", "catalog", "files", "error", "message"),
    [
        (None, 9, None, (), RefusedError, "there is no revision 9, as known to the IOC of"),
        (None, 1, "no_such_catalog", (), ConfigError, "there is no catalog no_such_catalog: expected the address of"),
        (None, 1, "127.0.0.1:8000", (), ConfigError, "expected the address of a Tiled server (http://127.0.0.1:8000)"),
        ("NO{Such}Calib:", 1, None, (), NotConnectedError, "give its exported history"),
        (None, 1, None, ["none.jsonl"], HistoryError, "none.jsonl: No such file or directory"),
    ],
)
def test_affected_reports_what_is_wrong(panel, address, asked, number, catalog, files, error, message):
    commit(panel.calib.prefix, 1)
    with pytest.raises(error, match=re.escape(message)):
        print_affected(asked or panel.calib.prefix, number, catalog or "?api_key=".join(address), files, as_json=True)


def test_catalog_that_does_not_answer_is_reported_without_its_key(monkeypatch):
    from tiled.client import utils

    monkeypatch.setattr(utils, "TILED_RETRY_ATTEMPTS", 1)
    refused = pytest.raises(NotConnectedError, match=r"the catalog http://127\.0\.0\.1:9/ cannot be opened")
    with refused as failed, open_catalog("http://127.0.0.1:9/?api_key=secret"):
        pass
    assert "secret" not in str(failed.value)


def test_catalog_without_a_name_is_reported():
    with pytest.raises(ConfigError, match="there is no catalog without a name"), open_catalog(""):
        pass


def test_one_run_that_cannot_be_read_does_not_hide_the_others(panel, catalogs, three_runs, address, capsys):
    broken = catalogs.tiled[three_runs[0]]
    broken.update_metadata({"start": {**broken.metadata["start"], "time": None}})
    report = found_affected(capsys, panel.calib.prefix, 1, address)
    assert [each["run_uid"] for each in report["unreadable"]] == [three_runs[0]]
    assert [each["run_uid"] for each in report["affected"]] == [three_runs[1]]


def test_affected_reads_databroker_too(panel, catalogs, three_runs):
    from ponikeeper_client._ioc_history import IocHistory
    from ponikeeper_client.recall._affected import find_affected

    history = IocHistory(panel.calib.prefix, TIMEOUT)
    found = find_affected(each_run(catalogs.broker.v2), panel.calib.prefix, 1, history)
    assert {each.run_uid for each in found.affected} == set(three_runs[:2])
    assert (found.others, found.unreadable) == ([], [])


@pytest.mark.campaign
def test_affected_of_many_runs(panel, catalogs, address, documents_of, capsys):
    """One run in ten was taken with the revision."""
    prefix = panel.calib.prefix
    for number in (1, 2):
        commit(prefix, number)
    kinds = [json.dumps(documents_of(changing(panel, (number,)))) for number in (1, 2)]
    expected = set()
    for index in range(500):
        text = kinds[0 if index % 10 == 0 else 1]
        renamed = {each["uid"]: str(uuid.uuid4()) for _, each in json.loads(text) if "uid" in each}
        for old, new in renamed.items():
            text = text.replace(old, new)
        documents = json.loads(text)
        catalogs.insert_into_tiled(documents)
        expected |= {documents[0][1]["uid"]} if index % 10 == 0 else set()
    began = time.monotonic()
    report = found_affected(capsys, prefix, 1, address)
    with capsys.disabled():
        print(f"\n500 runs searched in {time.monotonic() - began:.1f} s")
    assert report["runs"] == 50  # the catalog is asked for them: no other run is read
    assert {each["run_uid"] for each in report["affected"]} == expected
