"""`ponikeeper put` says what is active and whether it applies, and asks for the position at a terminal."""

import json
import shlex
import threading

import pytest

from live import wait_for
from ponikeeper.geometry import Geometry, poni
from speak import GEOMETRY, commit_text, get, put, request, results, snapshot

NAMES = (
    *("ASKED", "REFUSED", "ABORTED", "AGAIN", "SCRIPTED", "MOVING", "WAITED", "LATE", "VERBS", "ENERGY", "WRONG"),
    *("UNLINKED",),
)
DETECTOR = {name: f"{{Det:{name}}}Calib:" for name in NAMES}
ENERGY = {"kind": "energy", "units": "keV", "tolerance": 1e-3}


@pytest.fixture(scope="module")
def ioc(make_ioc_for_module, motors):
    """One IOC with detectors that are linked to Z, to Y where the test moves it, to the energy only, or to nothing."""
    z, y = motors.link("z", "Z:RBV"), motors.link("y", "Y:RBV", moving="Y:MOVN")
    links = dict.fromkeys(NAMES, z) | dict.fromkeys(("AGAIN", "MOVING", "WAITED"), y) | {"UNLINKED": ""}
    links |= dict.fromkeys(("ENERGY", "WRONG"), motors.link("energy", "Energy", **ENERGY))
    more = {DETECTOR[name]: f"settle = 0.2\n{link}" for name, link in links.items() if link}
    return make_ioc_for_module(detectors=tuple(DETECTOR.values()), more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def motor_y(motors):
    """Return a function that puts to the PVs of the motor Y, which is at 1000 mm at rest before and after the test."""

    def move(suffix, value):
        put(motors.pv(f"Y:{suffix}"), value)

    yield move
    move("MOVN", 0)
    move("RBV", 1000.0)


@pytest.fixture(scope="module")
def near(tmp_path_factory):
    """Return a PONI file for the energy of the simulated beamline."""
    file = tmp_path_factory.mktemp("files") / "near.poni"
    file.write_text(poni.write(Geometry.parse(GEOMETRY)))
    return file


@pytest.fixture
def detector(ioc):
    """Return the prefix of a detector by its name, when its links are at rest."""

    def prefix(name):
        wait_for(lambda: all(link["moving"] is False for link in links_of(ioc.name + DETECTOR[name])))
        return ioc.name + DETECTOR[name]

    return prefix


def links_of(prefix):
    return json.loads(get(f"{prefix}Links_RBV"))["links"]


def next_command(text):
    """Return the command that an output names as the next one."""
    (line,) = [line for line in text.splitlines() if line.startswith("next: ")]
    return shlex.split(line.partition("ponikeeper ")[2])


def test_terminal_asks_and_records_the_position_that_it_shows(call, detector, motors, near):
    prefix = detector("ASKED")
    with call.at_terminal("put", prefix, near, "--label", "near") as terminal:
        shown = terminal.read_until("[y/n]")
        assert f"The links are at: z ({motors.pv('Z:RBV')}) 1000 mm\nWas this geometry calibrated at this" in shown
        terminal.type("perhaps\n")
        assert "'perhaps' is no answer: expected y or n. [y/n]" in terminal.read_until("[y/n]", 2)
        assert snapshot(prefix)["revision"] == 0
        terminal.type("y\n")
        code = terminal.end()
    assert code == 0
    assert f"{prefix} revision 1 is active (serial 1) and may be used: VALID\n" in terminal.shown
    assert "position: z 1000.0 mm\n" in terminal.shown
    assert "next:" not in terminal.shown
    record = snapshot(prefix)
    assert (record["position"], record["status"]) == ({"z": {"value": 1000.0, "units": "mm"}}, "VALID")


def test_answer_no_records_no_position_and_names_the_command_that_does(call, detector, near):
    prefix = detector("REFUSED")
    with call.at_terminal("put", prefix, near) as terminal:
        terminal.read_until("[y/n]")
        terminal.type("NO\n")
        assert terminal.end() == 0
    reason = "the position of revision 1 was never recorded"
    assert f"{prefix} revision 1 is active (serial 1) but does not apply: UNKNOWN, {reason}" in terminal.shown
    recorded = call(*next_command(terminal.shown))
    assert (recorded.returncode, recorded.stderr) == (0, "")
    assert recorded.stdout == (
        f"{prefix} revision 2 is active (serial 2) and may be used: VALID\nposition: z 1000.0 mm\n"
    )


@pytest.mark.parametrize("key", ["\x04", "\x03"], ids=["Ctrl-D", "Ctrl-C"])
def test_question_that_is_not_answered_commits_nothing(call, detector, near, key):
    prefix = detector("ABORTED")
    with call.at_terminal("put", prefix, near) as terminal:
        terminal.read_until("[y/n]")
        terminal.type(key)
        assert terminal.end() == 1
    assert "nothing was committed: the question was not answered; expected --here or --no-position" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert snapshot(prefix)["revision"] == 0


def test_detector_that_moves_during_the_question_is_asked_about_again(call, detector, motor_y, near):
    prefix = detector("AGAIN")
    with call.at_terminal("put", prefix, near) as terminal:
        assert ") 1000 mm" in terminal.read_until("[y/n]")
        motor_y("RBV", 1500.0)
        wait_for(lambda: links_of(prefix)[0]["value"] == 1500.0)
        wait_for(lambda: links_of(prefix)[0]["moving"] is False)
        terminal.type("y\n")
        assert ") 1500 mm" in terminal.read_until("[y/n]", 2)
        assert snapshot(prefix)["revision"] == 0
        terminal.type("y\n")
        assert terminal.end() == 0
    assert "position: y 1500.0 mm\n" in terminal.shown


@pytest.mark.parametrize(
    ("name", "words"),
    [("REFUSED", ("--no-position",)), ("ASKED", ("--here",)), ("REFUSED", ("--json",)), ("UNLINKED", ())],
    ids=str,
)
def test_terminal_does_not_ask_where_there_is_nothing_to_ask(call, detector, near, name, words):
    with call.at_terminal("put", detector(name), near, *words) as terminal:
        assert terminal.end() == 0
    assert "[y/n]" not in terminal.shown
    assert ("UNKNOWN" in terminal.shown) is (name == "REFUSED")
    assert ("UNWATCHED, no links are configured" in terminal.shown) is (name == "UNLINKED")


def test_without_a_terminal_no_position_is_claimed_and_the_output_says_so(call, detector, near):
    prefix = detector("SCRIPTED")
    done = call("put", prefix, near)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{prefix} revision 1 is active (serial 1) but does not apply: UNKNOWN, the position of revision 1 was never "
        "recorded",
        f"next: move the links to where revision 1 was calibrated, then type: ponikeeper record-position '{prefix}'",
    ]
    values = json.loads(call("put", prefix, near, "--json").stdout)
    assert values.items() >= results(prefix)[0].items()
    assert (values["status"], values["applies"], values["position"]) == ("UNKNOWN", False, None)
    assert "record-position" in values["next"]
    here = json.loads(call("put", prefix, near, "--here", "--json").stdout)
    assert (here["status"], here["applies"], here["next"]) == ("VALID", True, None)
    assert here["position"] == {"z": {"value": 1000.0, "units": "mm"}}


def test_position_that_cannot_be_recorded_is_reported(call, detector, motors, motor_y, near):
    prefix = detector("MOVING")
    motor_y("MOVN", 1)
    wait_for(lambda: links_of(prefix)[0]["moving"])
    done = call("put", prefix, near, "--here")
    moving = f"y ({motors.pv('Y:RBV')}) is moving"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"the position cannot be recorded now: {moving}: nothing was committed: wait until the links are at rest, or "
        "give --no-position\n"
    )
    done = call("put", prefix, near, "--no-position")
    assert "but does not apply: UNKNOWN, the position of revision 1 was never recorded; y (" in done.stdout
    assert next_command(done.stdout) == ["record-position", prefix]
    with call.at_terminal("put", prefix, near) as terminal:
        shown = terminal.read_until("[y/n]")
        assert f"The position cannot be recorded now: {moving}\nCommit this" in shown
        terminal.type("n\n")
        assert terminal.end() == 1
    assert "nothing was committed: wait until the links are at rest, or give --no-position" in terminal.shown
    assert snapshot(prefix)["revision"] == 1


def test_wait_ends_when_the_geometry_applies(call, detector, motor_y, near):
    prefix = detector("WAITED")
    motor_y("MOVN", 1)
    wait_for(lambda: links_of(prefix)[0]["moving"])
    done: list = []
    waiting = threading.Thread(target=lambda: done.append(call("put", prefix, near, "--no-position", "--wait")))
    waiting.start()
    wait_for(lambda: snapshot(prefix)["revision"] == 1)
    motor_y("MOVN", 0)
    wait_for(lambda: links_of(prefix)[0]["moving"] is False)
    assert request(prefix, json.dumps({"v": 1, "request": "r", "op": "record_position"}))["outcome"] == "accepted"
    waiting.join()
    assert (done[0].returncode, done[0].stderr) == (0, "")
    first, *_, last = done[0].stdout.splitlines()
    assert "revision 1 is active (serial 1) but does not apply: UNKNOWN" in first
    assert last.endswith("revision 2 is active now (serial 2) and may be used: VALID")


def test_wait_has_a_time_limit(call, detector, near):
    prefix = detector("LATE")
    done = call("put", prefix, near, "--no-position", "--wait", "--timeout", 0.5)
    assert done.returncode == 1
    assert done.stderr == f"timed out after 0.5 s waiting until the geometry of {prefix} applies\n"
    assert snapshot(prefix)["revision"] == 1
    values = json.loads(call("put", prefix, near, "--wait", "--timeout", 0.5, "--json").stdout)
    assert (values["revision"], values["applies"]) == (1, False)
    assert call("put", prefix, near, "--here", "--wait").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--here", "--no-position"), "--here and --no-position contradict each other"),
        (("--timeout", 3), "--timeout is given without --wait"),
        (("--wait", "--timeout", 0), "--timeout 0 is not allowed"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_commit_nothing(call, detector, near, words, message):
    prefix = detector("ABORTED")
    done = call("put", prefix, near, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert snapshot(prefix)["revision"] == 0


def test_every_verb_that_changes_the_active_geometry_says_whether_it_applies(call, detector):
    prefix = detector("VERBS")
    geometry = {**GEOMETRY, "dist": 0.9}
    assert request(prefix, commit_text("far", geometry=geometry, position={"z": 900.0}, label="far"))["revision"] == 1
    assert request(prefix, commit_text("near", position={"z": 1000.0}, label="near"))["revision"] == 2
    away = call("activate", prefix, "far")
    assert "revision 1 is active (serial 3) but does not apply: MOVED, z (" in away.stdout
    assert "next: activate the revision of this position, calibrate, or move " in away.stdout
    assert json.loads(call("activate", prefix, "far", "--json").stdout)["status"] == "MOVED"
    back = call("activate", prefix, "near")
    assert back.stdout.startswith(f"{prefix} revision 2 is active (serial ")
    edited = json.loads(call("set", prefix, "rot1=0.003", "--json").stdout)
    assert (edited["revision"], edited["status"]) == (3, snapshot(prefix)["status"])
    assert f"{prefix} revision 4 is active" in call("set", prefix, "rot1=0.004").stdout
    retracted = call("retract", prefix, 4, "--reason", "bumped")
    assert retracted.stdout.splitlines() == [
        f"{prefix} revision 4 is retracted; it stays active until another one is activated",
        f"next: find the right revision: ponikeeper history '{prefix}' --tree; then type: ponikeeper activate "
        f"'{prefix}' NUMBER",
    ]
    again = json.loads(call("retract", prefix, 4, "--reason", "bumped", "--json").stdout)
    assert (again["status"], again["applies"]) == ("RETRACTED", False)


def test_detector_that_only_the_energy_watches_needs_no_recorded_position(call, detector, near, tmp_path):
    done = call("put", detector("ENERGY"), near, "--no-position")
    assert done.stdout == f"{detector('ENERGY')} revision 1 is active (serial 1) and may be used: VALID\n"
    wrong = tmp_path / "wrong.poni"
    wrong.write_text(poni.write(Geometry.parse({**GEOMETRY, "wavelength": 1.67e-11})))
    prefix = detector("WRONG")
    done = call("put", prefix, wrong, "--no-position")
    assert "but does not apply: MISMATCH, energy (" in done.stdout
    call(*next_command(done.stdout))
    assert snapshot(prefix)["status"] == "VALID"
