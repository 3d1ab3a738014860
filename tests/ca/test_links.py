"""The linked PVs on a live IOC: their states, also through outages, and the position of a commit."""

import json
import signal
import statistics
import time

import aioca
import pytest

import speak
from live import wait_for
from ponikeeper.config import MAX_LINKS
from ponikeeper.protocol import parse_links
from speak import GEOMETRY, commit_text, get, put, run

FIRST, SECOND, ODD, QUIET = "{Det:1}Calib:", "{Det:2}Calib:", "{Det:3}Calib:", "{Det:4}Calib:"
CROWD = tuple(f"{{Det:{number}}}Calib:" for number in range(5, 9))

SETTLE = 0.3
ENERGY = {"kind": "energy", "units": "keV", "tolerance": 1e-4}
START = {"Z:RBV": 1000.0, "Z:MOVN": 0, "Y:RBV": 1000.0, "Energy": 74.69, "BinX": 1}


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    """One IOC, whose detectors are linked in different ways to one set of PVs."""
    settle = f"settle = {SETTLE}\n"
    three = motors.link("z", "Z:RBV", moving="Z:MOVN") + motors.link("energy", "Energy", **ENERGY)
    more = {
        FIRST: settle + three + motors.link("binning", "BinX", kind="equal"),
        SECOND: settle + motors.link("distance", "Z:RBV", moving="Z:MOVN"),
        ODD: settle
        + motors.link("mode", "Mode", kind="equal")
        + motors.link("image", "Image", kind="equal")
        + motors.link("energy", "Energy", **ENERGY)
        + motors.link("y", "Y:RBV", moving="Mode")
        + motors.link("fragile", "Fragile"),
    }
    more |= {prefix: three + motors.link("y", "Y:RBV") for prefix in CROWD}
    detectors = (FIRST, SECOND, ODD, QUIET, *CROWD)
    return make_ioc_for_module(detectors=detectors, more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def at_rest(linked, motors):
    """Put all links back, and wait until the first detector knows it."""
    for suffix, value in START.items():
        assert put(motors.pv(suffix), value) is None
    until(linked.prefix, lambda z, energy, binning: (z.value, energy.value, binning.value) == (1000.0, 74.69, 1.0))
    until(linked.prefix, lambda *links: not any(link.unknown_because for link in links))
    return linked.prefix


def prefix_of(ioc, detector):
    return ioc.name + detector


def links_text(prefix):
    return str(run(aioca.caget(f"{prefix}Links_RBV", datatype=aioca.DBR_CHAR_STR, timeout=speak.TIMEOUT)))


def links(prefix):
    return parse_links(links_text(prefix))


def until(prefix, condition, timeout=30.0):
    """Wait until the links have the given states, and return them."""
    try:
        wait_for(lambda: condition(*links(prefix)), timeout)
    except TimeoutError as error:
        raise AssertionError(f"the links of {prefix} are {links(prefix)}") from error
    return links(prefix)


def position(prefix):
    return speak.snapshot(prefix)["position"]


def commit(prefix, request, **more):
    return speak.request(prefix, commit_text(request, **more))


def test_links_are_shown_with_their_configuration(at_rest, motors):
    z, energy, binning = links(at_rest)
    assert (z.name, z.pv, z.kind, z.units, z.tolerance) == ("z", motors.pv("Z:RBV"), "motor", "mm", 0.05)
    assert (energy.kind, energy.units, energy.tolerance) == ("energy", "keV", 1e-4)
    assert (binning.kind, binning.units, binning.tolerance) == ("equal", "", None)
    assert [(link.value, link.moving, link.connected, link.error) for link in (z, energy, binning)] == [
        (1000.0, False, True, None),
        (74.69, False, True, None),
        (1.0, False, True, None),
    ]


def test_detector_without_links_shows_an_empty_list(linked):
    assert json.loads(links_text(prefix_of(linked, QUIET))) == {"v": 1, "settle": 1.0, "links": []}


def test_links_are_shown_as_a_table_for_the_screen(at_rest, linked, motors):
    def rows():
        return [line.split() for line in get(f"{at_rest}Links:Table_RBV").splitlines()[1:]]

    assert commit(at_rest, "table")["outcome"] == "accepted"
    wait_for(lambda: rows()[0] == ["z", "1000", "-", "mm", "not", "recorded", motors.pv("Z:RBV")])
    assert put(f"{at_rest}RecordPosition", 1) is None
    rest = [
        ["energy", "74.69", "74.69", "keV", "ok", motors.pv("Energy")],
        ["binning", "1", "1", "ok", motors.pv("BinX")],
    ]
    wait_for(lambda: rows() == [["z", "1000", "1000", "mm", "ok", motors.pv("Z:RBV")], *rest])
    put(motors.pv("Z:RBV"), 900.0)
    wait_for(lambda: rows() == [["z", "900", "1000", "mm", "outside", motors.pv("Z:RBV")], *rest])
    assert get(f"{prefix_of(linked, QUIET)}Links:Table_RBV") == "no links are configured: no PV is watched"


def test_motion_is_detected_by_the_moving_pv_or_else_by_changes_until_they_settle(at_rest, motors):
    put(motors.pv("Z:MOVN"), 1)
    until(at_rest, lambda z, energy, _binning: z.moving and not energy.moving)
    put(motors.pv("Z:MOVN"), 0)
    until(at_rest, lambda z, *_: z.moving is False)
    put(motors.pv("Energy"), 75.0)
    until(at_rest, lambda _z, energy, _binning: energy.moving and energy.value == 75.0)
    until(at_rest, lambda _z, energy, _binning: energy.moving is False)  # by time alone: nothing more was said
    put(motors.pv("Energy"), 75.001)
    until(at_rest, lambda _z, energy, _binning: energy.value == 75.001 and not energy.moving)  # noise, within tolerance


def test_commit_at_the_position_now_stores_the_values_of_the_links(at_rest, motors):
    put(motors.pv("Z:RBV"), 1000.0123456789)
    until(at_rest, lambda z, *_: z.value == 1000.0123456789)
    assert commit(at_rest, "now", position="now")["outcome"] == "accepted"
    stood = {
        "z": {"value": 1000.0123456789, "units": "mm"},
        "energy": {"value": 74.69, "units": "keV"},
        "binning": {"value": 1.0, "units": ""},
    }
    assert position(at_rest) == stood
    assert [link.calibrated for link in links(at_rest)] == [1000.0123456789, 74.69, 1.0]
    put(motors.pv("Z:RBV"), 1500.0)
    until(at_rest, lambda z, *_: z.value == 1500.0 and not z.moving)
    assert put(f"{at_rest}Dist", 0.77) is None
    assert position(at_rest) == stood  # an edit by hand keeps the position
    assert put(f"{at_rest}Stage:Rot1", 0.07) is None
    assert put(f"{at_rest}Stage:Apply", 1) is None
    assert position(at_rest) == stood
    assert put(f"{at_rest}RecordPosition", 1) is None
    assert position(at_rest) == {**stood, "z": {"value": 1500.0, "units": "mm"}}


def test_explicit_position_is_stored_as_it_is_given_and_none_as_unknown(at_rest):
    given = {"z": 3.0, "energy": 70.0, "binning": 2}
    assert commit(at_rest, "explicit", position=given)["outcome"] == "accepted"
    assert {name: place["value"] for name, place in position(at_rest).items()} == given
    assert [link.calibrated for link in links(at_rest)] == [3.0, 70.0, 2.0]
    assert put(f"{at_rest}Poni", get(f"{at_rest}Poni_RBV").replace("Distance: ", "Distance: 1")) is None
    assert position(at_rest) is None
    assert [link.calibrated for link in links(at_rest)] == [None, None, None]


def test_calibrated_values_follow_an_activation(at_rest, motors):
    first = commit(at_rest, "at 1000", position="now", label="near")["revision"]
    put(motors.pv("Z:RBV"), 2000.0)
    until(at_rest, lambda z, *_: z.value == 2000.0 and not z.moving)
    commit(at_rest, "at 2000", position="now", label="far")
    assert links(at_rest)[0].calibrated == 2000.0
    assert put(f"{at_rest}Activate", str(first)) is None
    assert links(at_rest)[0].calibrated == 1000.0


def test_position_is_unknown_while_a_link_moves_and_the_message_says_which(at_rest, motors):
    put(motors.pv("Z:MOVN"), 1)
    until(at_rest, lambda z, *_: z.moving)
    assert commit(at_rest, "in motion", position="now", geometry={**GEOMETRY, "dist": 0.91})["outcome"] == "accepted"
    assert position(at_rest) is None
    assert get(f"{at_rest}Message_RBV").endswith(f", position unknown: z ({motors.pv('Z:RBV')}) is moving")


def test_same_commit_within_tolerance_changes_nothing_and_beyond_it_does(at_rest, motors):
    first = commit(at_rest, "a", position="now")["revision"]
    put(motors.pv("Z:RBV"), 1000.04)
    until(at_rest, lambda z, *_: z.value == 1000.04)
    assert commit(at_rest, "b", position="now")["revision"] == first
    put(motors.pv("Z:RBV"), 1000.06)
    until(at_rest, lambda z, *_: z.value == 1000.06)
    assert commit(at_rest, "c", position="now")["revision"] == first + 1


def test_text_array_and_nan_are_reported_as_invalid_values(linked, at_rest, motors):
    odd = prefix_of(linked, ODD)
    put(motors.pv("Energy"), float("nan"))
    mode, image, energy, y, _ = until(odd, lambda *links: links[2].value is None)
    assert [link.value for link in (mode, image, energy, y)] == [None, None, None, 1000.0]
    assert mode.error == 'it says "idle": expected a finite number'
    assert image.error == "it is an array of 4: expected a finite number"
    assert energy.error == "it says nan: expected a finite number"
    assert (y.moving, y.error) == (None, f'{motors.pv("Mode")}: it says "idle": expected a finite number')
    assert all(link.connected for link in (mode, image, energy, y))
    commit(odd, "odd", position="now")
    assert position(odd) is None
    put(motors.pv("Energy"), 74.69)
    until(odd, lambda *links: links[2].value == 74.69 and links[2].error is None)


def test_pv_whose_monitor_fails_has_no_value_until_it_works(linked, motors):
    odd = prefix_of(linked, ODD)
    *_, fragile = until(odd, lambda *links: links[-1].connected)
    assert (fragile.value, fragile.error) == (None, "its updates cannot be read")
    put(motors.pv("Broken"), 0)
    until(odd, lambda *links: (links[-1].value, links[-1].error) == (7.0, None))
    assert linked.stderr.read_text().count("Fragile: its update cannot be read") == 1


def test_two_detectors_share_a_link(linked, at_rest, motors):
    second = prefix_of(linked, SECOND)
    put(motors.pv("Z:RBV"), 1234.5)
    (distance,) = until(second, lambda distance: distance.value == 1234.5 and not distance.moving)
    until(at_rest, lambda z, *_: z.value == 1234.5)
    assert (distance.name, distance.pv) == ("distance", motors.pv("Z:RBV"))
    commit(second, "shared", position="now")
    assert position(second) == {"distance": {"value": 1234.5, "units": "mm"}}


class Texts:
    """Record the updates of a monitor of `Links_RBV`."""

    def __init__(self, prefix):
        self.values = []

        async def subscribe():
            return aioca.camonitor(
                f"{prefix}Links_RBV", self.values.append, datatype=aioca.DBR_CHAR_STR, all_updates=True
            )

        self._subscription = run(subscribe())
        wait_for(lambda: self.values)

    def close(self):
        async def close():
            self._subscription.close()

        run(close())


_WITH_STATUS = 6
"""Publications at once: with the first value, and with each change of the status and of its reason."""


def test_storm_of_a_motor_reaches_clients_ten_times_a_second_and_its_last_value_always(at_rest, motors):
    monitor = Texts(at_rest)
    before, began = len(monitor.values), time.monotonic()
    put(motors.pv("Pause"), 0.01)
    put(motors.pv("Speed"), 0.1)
    wait_for(lambda: get(motors.pv("Z:RBV")) > 1010.0)
    put(motors.pv("Speed"), 0)
    put(motors.pv("Pause"), 0.1)
    stands = float(get(motors.pv("Z:RBV")))
    wait_for(lambda: parse_links(str(monitor.values[-1]))[0].value == stands)
    allowed = (time.monotonic() - began) / 0.1 + _WITH_STATUS
    monitor.close()
    assert 1 <= len(monitor.values) - before <= allowed


def test_commits_go_on_while_the_links_of_several_detectors_move(linked, at_rest, motors):
    prefixes = [prefix_of(linked, detector) for detector in CROWD]
    for prefix in prefixes:
        assert commit(prefix, "first")["outcome"] == "accepted"
    still = [timed_put(prefix, 0.3 + 0.001 * turn) for turn in range(5) for prefix in prefixes]
    assert put(motors.pv("Speed"), 0.3) is None
    for prefix in prefixes:
        until(prefix, lambda _z, _energy, y: y.moving)
    moving = [timed_put(prefix, 0.4 + 0.001 * turn) for turn in range(5) for prefix in prefixes]
    for number, prefix in enumerate(prefixes):
        moving_y = commit(prefix, f"moving {number}", position="now", geometry={"dist": 0.6})
        assert (moving_y["outcome"], position(prefix)) == ("accepted", None)
    assert put(motors.pv("Speed"), 0) is None
    assert statistics.median(moving) < 3 * statistics.median(still) + 0.02
    stands = float(get(motors.pv("Y:RBV")))
    for prefix in prefixes:
        until(prefix, lambda _z, _energy, y: y.value == stands and y.moving is False)
        assert put(f"{prefix}RecordPosition", 1) is None
        assert position(prefix)["y"] == {"value": stands, "units": "mm"}


def timed_put(prefix, dist):
    began = time.monotonic()
    assert put(f"{prefix}Dist", dist) is None
    return time.monotonic() - began


def test_links_survive_a_late_start_a_kill_and_a_hang(make_ioc, make_motors):
    """One server is killed and has PVs of other types when it is back, while another one hangs."""
    mortal, lazy = make_motors(), make_motors()
    rows = mortal.link("z", "Z:RBV", moving="Z:MOVN") + lazy.link("energy", "Energy", **ENERGY)
    more = {FIRST: f"settle = {SETTLE}\n" + rows, SECOND: mortal.link("mode", "Mode", kind="equal")}
    ioc = make_ioc(
        detectors=(FIRST, SECOND), more=more, other_ports=(mortal.port, lazy.port)
    ).start()  # ready without them
    prefix, second = ioc.prefixes
    assert [(link.value, link.connected, link.moving) for link in links(prefix)] == [(None, False, None)] * 2
    commit(prefix, "absent", position="now")
    assert position(prefix) is None
    mortal.start()
    until(prefix, lambda z, energy: z.value == 1000.0 and not energy.connected)
    until(second, lambda mode: mode.error == 'it says "idle": expected a finite number')
    lazy.start()
    put(lazy.pv("Energy"), 74.7)
    until(prefix, lambda z, energy: energy.value == 74.7 and not (z.unknown_because or energy.unknown_because))
    commit(prefix, "present", position="now")
    assert position(prefix)["energy"] == {"value": 74.7, "units": "keV"}

    lazy.signal(signal.SIGSTOP)
    hung = time.monotonic()
    mortal.kill()
    until(prefix, lambda z, energy: not z.connected and z.value is None and energy.connected, timeout=5.0)
    mortal.mode = 2.0
    mortal.start()
    until(prefix, lambda z, _energy: z.value == 1000.0)
    until(second, lambda mode: mode.value == 2.0)
    until(prefix, lambda _z, energy: not energy.connected and energy.value is None)
    assert time.monotonic() - hung < 20.0  # the library's own patience would be 30 s
    commit(prefix, "hung", position="now", geometry={**GEOMETRY, "dist": 0.3})
    assert position(prefix) is None
    assert get(f"{prefix}Message_RBV").endswith(f"energy ({lazy.pv('Energy')}) is not connected")
    assert [link.calibrated for link in links(prefix)] == [None] * 2

    lazy.signal(signal.SIGCONT)
    until(prefix, lambda _z, energy: energy.value == 74.7 and energy.moving is False)
    put(lazy.pv("Energy"), 74.9)
    until(prefix, lambda _z, energy: energy.value == 74.9)
    lazy.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert ioc.stop() == 0  # nor does a peer that hangs keep it
    assert time.monotonic() - began < 5.0
    assert "Traceback" not in ioc.stderr.read_text()


def test_ioc_serves_while_it_looks_for_many_absent_pvs(make_ioc, motors):
    more = {FIRST: "".join(motors.link(f"m{number}", f"Absent{number}") for number in range(MAX_LINKS))}
    ioc = make_ioc(detectors=(FIRST,), more=more, other_ports=(motors.port,)).start()
    assert commit(ioc.prefix, "first", position="now")["outcome"] == "accepted"
    text = get(f"{ioc.prefix}Message_RBV")
    assert text.count("is not connected") == MAX_LINKS
