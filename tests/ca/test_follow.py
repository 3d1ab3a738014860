"""The geometry follows a motor: after each trip the right revision is active, and no other was in between."""

import itertools
import random
import time

import aioca
import pytest

from live import TIMEOUT, wait_for
from motion import Record, Span, move
from speak import GEOMETRY, commit_text, forget, get, put, request, run, snapshot

TOLERANCE = 0.05
NEAR, MID, FAR = 1000.0, 1250.0, 1500.0
PLACES = {"near": NEAR, "mid": MID, "far": FAR}

SETTINGS = ((0.2, True), (0.0, True), (0.2, False))
"""Settle time (s), and whether the link has a moving PV."""

DETECTORS = (24, 5, 5)
"""Number of detectors with each setting."""

_requests = itertools.count(1)


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    """Start one IOC whose detectors all follow one motor; return it and the unused detectors by their setting."""
    names = {
        f"{{Det:{row}-{number}}}Calib:": setting
        for row, (setting, count) in enumerate(zip(SETTINGS, DETECTORS, strict=True))
        for number in range(count)
    }
    more = {
        name: f"settle = {settle}\n" + motors.link("z", "Z:RBV", **({"moving": "Z:MOVN"} if flagged else {}))
        for name, (settle, flagged) in names.items()
    }
    ioc = make_ioc_for_module(detectors=tuple(names), more=more, other_ports=(motors.port,)).start()
    unused = {wanted: iter([ioc.name + n for n, setting in names.items() if setting == wanted]) for wanted in SETTINGS}
    return ioc, unused


@pytest.fixture
def recording(linked, motors):
    """Return a function that records what clients see of unused detectors, one of each given setting."""
    _, unused = linked

    def record(*settings):
        return Record([next(unused[setting]) for setting in settings], {"z": motors.pv("Z:RBV")})

    return record


@pytest.fixture
def one(recording, motors):
    """Yield prefix and record of one detector that was calibrated at `far` and `near`; its motor is at `near`."""
    with recording(SETTINGS[0]) as record:
        calibrate(record, motors, "far", "near")
        yield record.prefixes[0], record


def commit(prefix, label=None, **more):
    """Commit another geometry at the present position of the motor; return its revision."""
    number = next(_requests)
    geometry = GEOMETRY | {"dist": 0.2 + 1e-4 * number}
    words = {"position": "now", "geometry": geometry, **({"label": label} if label else {}), **more}
    result = request(prefix, commit_text(f"r{number}", **words))
    assert result["outcome"] == "accepted", result
    return result["revision"]


def calibrate(record, motors, *labels):
    """Move to each place, and commit a geometry there."""
    for label in labels:
        if get(motors.pv("Z:RBV")) != PLACES[label]:  # otherwise the links could be read as they were before it moved
            move(motors, PLACES[label])
        record.until_seen(PLACES[label], moving=False)
        for prefix in record.prefixes:
            commit(prefix, label)
        record.until(status="VALID", label=label)


def trip(record, motors, label, through=(), timeout=30.0):
    """Move to a place with a known geometry, and wait until every detector reports it; return how long it took (s)."""
    move(motors, *(PLACES[place] for place in through), PLACES[label])
    return record.until(timeout, status="VALID", label=label)


def require_right(record):
    """Check that no client received VALID for long while the motor was elsewhere."""
    wrong = [(prefix, span) for prefix in record.prefixes for span in record.valid_beyond(prefix, TOLERANCE)]
    assert not wrong, "\n".join(f"{prefix}: {span}\n{record.around(span)}" for prefix, span in wrong)


def worst(record, judge=Record.valid_beyond):
    """Return the longest time span in which a client had VALID although the motor was elsewhere already."""
    spans = [span for prefix in record.prefixes for span in judge(record, prefix, TOLERANCE, 0.0)]
    return max(spans, key=lambda span: span.length, default=Span(0.0, 0.0, ""))


def go_back_and_forth(record, motors, times):
    for _ in range(times):
        trip(record, motors, "far")
        trip(record, motors, "near")
    require_right(record)


def go_by_three_places(record, motors, times):
    """Stop at two known places, pass through the third one, and stop where nothing is known."""
    elsewhere = MID + 1.0
    for _ in range(times):
        trip(record, motors, "far", through=("mid",))
        trip(record, motors, "near", through=("mid",))
        trip(record, motors, "mid", through=("far",))
        move(motors, MID, elsewhere)
        record.until(status="MOVED", label="mid")
        trip(record, motors, "near")
    require_right(record)


def go_restlessly(record, motors, times):
    """Leave each place at once, or after the first update, or when it is VALID; stop at each place at the end."""
    dice = random.Random(7)
    for _ in range(times):
        label = dice.choice(tuple(PLACES))
        before = {prefix: len(record.snapshots(prefix)) for prefix in record.prefixes}
        move(motors, PLACES[label])
        wait = dice.randrange(3)
        if wait == 1:
            wait_for(lambda before=before: any(len(record.snapshots(p)) > count for p, count in before.items()))
        elif wait == 2:
            record.until(status="VALID", label=label)
    for label in PLACES:
        trip(record, motors, label)
    require_right(record)


def test_every_trip_ends_with_the_geometry_of_its_place(recording, motors):
    with recording(*SETTINGS) as record:
        calibrate(record, motors, "far", "near")
        go_back_and_forth(record, motors, 4)


def test_no_geometry_is_followed_where_a_motor_only_passes(recording, motors):
    with recording(*SETTINGS) as record:
        calibrate(record, motors, "far", "mid", "near")
        go_by_three_places(record, motors, 1)
        go_restlessly(record, motors, 8)


@pytest.mark.campaign
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_500_trips_there_and_back_end_with_the_geometry_of_their_place(recording, motors, setting):
    with recording(setting) as record:
        calibrate(record, motors, "far", "near")
        began = time.monotonic()
        go_back_and_forth(record, motors, 500)
        passed = time.monotonic() - began
        print(f"{setting}: 1000 trips, {passed:.0f} s, VALID while elsewhere at the longest {worst(record)}")


@pytest.mark.campaign
def test_hundreds_of_trips_by_three_places(recording, motors):
    with recording(*SETTINGS) as record:
        calibrate(record, motors, "far", "mid", "near")
        go_by_three_places(record, motors, 60)
        go_restlessly(record, motors, 500)
        print(f"VALID while elsewhere at the longest {worst(record)}")


def revisions(record, since):
    """Return every revision that was reported as active after a time."""
    (prefix,) = record.prefixes
    return {words["revision"] for seen, words in record.snapshots(prefix) if seen.at > since}


def roll_back(prefix, record, motors, times):
    trip(record, motors, "far")
    old = record.now(prefix)["revision"]
    rejected = commit(prefix, "far")
    assert put(f"{prefix}Activate", str(old)) is None
    record.until(status="VALID", revision=old)
    since = time.time()
    for _ in range(times):
        trip(record, motors, "near")
        trip(record, motors, "far")
        assert record.now(prefix)["revision"] == old
    assert rejected not in revisions(record, since)
    require_right(record)


def test_rolled_back_geometry_stays_the_one_of_its_place(one, motors):
    roll_back(*one, motors, times=3)


@pytest.mark.campaign
def test_rolled_back_geometry_stays_the_one_of_its_place_for_20_trips(one, motors):
    roll_back(*one, motors, times=20)


def test_series_of_puts_that_was_given_up_is_never_followed(one, motors):
    prefix, record = one
    trip(record, motors, "far")
    whole = record.now(prefix)["revision"]
    for number, name in enumerate(("Dist", "Poni1", "Poni2", "Rot1", "Rot2")):
        assert put(f"{prefix}{name}", 0.01 + 0.001 * number) is None
    last = snapshot(prefix)["revision"]
    halves = range(last - 4, last + 1)
    assert put(f"{prefix}Activate", str(whole)) is None
    record.until(status="VALID", revision=whole)
    since = time.time()
    for _ in range(2):
        trip(record, motors, "near")
        trip(record, motors, "far")
    assert revisions(record, since).isdisjoint(halves)
    assert record.now(prefix)["revision"] == whole
    require_right(record)


@pytest.mark.parametrize("correction", ["supersede", "retract"])
def test_revision_that_was_wrong_is_never_followed(one, motors, correction):
    prefix, record = one
    trip(record, motors, "far")
    old = record.now(prefix)["revision"]
    wrong = commit(prefix, "far")
    trip(record, motors, "near")
    near = record.now(prefix)["revision"]
    text = f'{{"v": 1, "request": "judge", "op": "{correction}", "revision": {wrong}, "reason": "typed wrong"'
    text += f', "by": {old}}}' if correction == "supersede" else "}"
    assert request(prefix, text)["outcome"] == "accepted"
    since = time.time()
    trip(record, motors, "far")
    assert record.now(prefix)["revision"] == old  # the revision that was active before it is valid there
    assert revisions(record, since) == {near, old}
    require_right(record)


def test_place_whose_only_revision_was_retracted_has_none(one, motors):
    prefix, record = one
    far = next(words["revision"] for _, words in record.snapshots(prefix) if words["label"] == "far")
    near = record.now(prefix)["revision"]
    text = f'{{"v": 1, "request": "judge", "op": "retract", "revision": {far}, "reason": "typed wrong"}}'
    assert request(prefix, text)["outcome"] == "accepted"
    since = time.time()
    move(motors, FAR)
    record.until(status="MOVED", revision=near)
    trip(record, motors, "near")
    assert revisions(record, since) == {near}


def test_here_makes_a_third_place_known(one, motors):
    prefix, record = one
    near = record.now(prefix)["revision"]
    move(motors, MID)
    record.until(status="MOVED", revision=near)
    assert put(f"{prefix}RecordPosition", 1) is None
    third = snapshot(prefix)["revision"]
    assert third > near
    record.until(status="VALID", revision=third)
    for label, revision in (("near", near), ("mid", third), ("far", None), ("mid", third)):
        move(motors, PLACES[label])
        record.until(status="VALID", **({"revision": revision} if revision else {"label": "far"}))
    require_right(record)


def test_nothing_follows_while_follow_is_off_nor_when_it_is_switched_on_at_rest(one, motors):
    prefix, record = one
    near = record.now(prefix)["revision"]
    assert put(f"{prefix}Follow", 0) is None
    for place, status in ((FAR, "MOVED"), (NEAR, "VALID"), (FAR, "MOVED")):
        move(motors, place)
        record.until(status=status, revision=near)
    serial = record.now(prefix)["serial"]
    assert put(f"{prefix}Follow", 1) is None
    assert get(f"{prefix}Follow_RBV") == 1
    record.until_seen(FAR, moving=False)
    trip(record, motors, "near")  # the next trip is followed; near was active all the time
    assert record.now(prefix)["serial"] == serial
    trip(record, motors, "far")
    assert record.now(prefix)["serial"] == serial + 1
    require_right(record)


def restarted(ioc, meanwhile=lambda: None):
    """Kill the IOC, do something, and start it again."""
    ioc.kill()
    meanwhile()
    ioc.start()
    forget()


def test_follow_and_its_state_survive_a_kill(linked, one, motors):
    prefix, record = one
    near = record.now(prefix)["revision"]
    record.close()
    assert put(f"{prefix}Follow", 0) is None
    restarted(linked[0], lambda: move(motors, FAR))
    assert get(f"{prefix}Follow_RBV") == 0
    with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
        again.until(status="MOVED", revision=near)
        assert put(f"{prefix}Follow", 1) is None
    restarted(linked[0])
    assert get(f"{prefix}Follow_RBV") == 1
    with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
        again.until(status="MOVED", revision=near)  # it was switched on here, and nothing has moved since
        move(motors, NEAR)
        again.until(status="VALID", revision=near)
        trip(again, motors, "far")
        require_right(again)


def test_move_while_the_ioc_was_down_is_followed_and_a_restart_without_one_changes_nothing(linked, one, motors):
    prefix, record = one
    near = record.now(prefix)["revision"]
    record.close()
    restarted(linked[0], lambda: move(motors, FAR))
    with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
        again.until(status="VALID", label="far")
        assert put(f"{prefix}Activate", str(near)) is None
        again.until(status="MOVED", revision=near)
        serial = again.now(prefix)["serial"]
        require_right(again)
    restarted(linked[0])
    with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
        again.until(status="MOVED", revision=near, serial=serial)
        trip(again, motors, "near")
        assert again.now(prefix)["serial"] == serial
        trip(again, motors, "far")
        require_right(again)


def test_commits_at_the_very_moment_of_rest_belong_to_where_they_were_made(linked, recording, motors):
    """The stored position must be that of the links at rest, although no revision was looked up for it yet."""
    with recording(*[SETTINGS[0]] * 8) as record:
        calibrate(record, motors, "far")
        move(motors, NEAR)
        record.until_seen(NEAR, moving=False)
        texts = [commit_text(f"r{next(_requests)}", position="now", label="near") for _ in record.prefixes]
        pvs = [f"{prefix}Request" for prefix in record.prefixes]
        run(aioca.caput(pvs, texts, datatype=aioca.DBR_CHAR_STR, wait=True, timeout=TIMEOUT))
        record.until(status="VALID", label="near")
    restarted(linked[0], lambda: move(motors, FAR))
    with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
        again.until(status="VALID", label="far")


@pytest.mark.campaign
def test_twenty_moves_while_the_ioc_was_down_are_followed(linked, one, motors):
    _, record = one
    record.close()
    for label in ("far", "near") * 10:
        restarted(linked[0], lambda label=label: move(motors, PLACES[label]))
        with Record(record.prefixes, {"z": motors.pv("Z:RBV")}) as again:
            again.until(status="VALID", label=label)
            require_right(again)
