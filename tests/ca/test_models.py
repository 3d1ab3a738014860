"""A model on a live IOC: wherever the detector is, its geometry is that of the place, or it does not look valid."""

import itertools
import json
import random

import pytest

from live import wait_for
from motion import Record, move
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, Retract, request_text
from ponikeeper.protocol.models import shift_px
from rails import FAR, MIDDLE, NEAR, at, calibration, commit_of, rail
from speak import forget, get, put, request
from wire import new_request

DETECTOR = "{Det:1}Calib:"
PLACES = (NEAR, MIDDLE, FAR)

MOVES, MANY = 14, 500

ALLOWED = 1e-12
"""Difference of two evaluations of one model (m, rad)."""

STALE = 0.0201
"""By how far the rings of a geometry may not be off while it looks valid (px)."""

_ids = itertools.count(1)


def execute(prefix, made: Commit | Retract):
    """Put a request and check that it is accepted."""
    text = json.dumps({**json.loads(request_text(made)), "request": f"model-{next(_ids)}"})
    result = request(prefix, text)
    assert result["outcome"] == "accepted", result
    return result["revision"]


class Rail:
    """A detector on a rail, calibrated at three places, with a model of them; and what a client saw of it."""

    def __init__(self, ioc, motors):
        self.ioc, self.motors, self.prefix = ioc, motors, ioc.prefix
        self.place = NEAR
        self.records = [self._record()]
        self.members = [self.calibrate(place) for place in PLACES]
        self.models = []
        self.commit(self.members)

    def calibrate(self, place):
        """Commit a calibration at a place; return its number and uid."""
        self.go(place)
        self.record.until_seen(place, moving=False)
        number = execute(self.prefix, new_request(calibration(rail(), place), position="now"))
        self.record.until(status="VALID", revision=number)
        return number, self.record.now(self.prefix)["uid"]

    def commit(self, members):
        """Commit a model of some members."""
        self.models.append(rail(members=tuple(members)))
        number = execute(self.prefix, commit_of(self.model))
        self.record.until(status="VALID", revision=number)

    def _record(self):
        return Record([self.prefix], {"z": self.motors.pv("Z:RBV")}).__enter__()  # closed by the fixture

    @property
    def record(self):
        return self.records[-1]

    @property
    def model(self):
        return self.models[-1]

    def interrupted(self, meanwhile):
        """Do something that clients do not survive, and observe what comes after it."""
        self.record.close()
        meanwhile()
        forget()
        self.records.append(self._record())

    def go(self, place, through=()):
        move(self.motors, *through, place)
        self.place = place

    def require(self):
        """Wait until the status is that of the place, and check what is published there."""
        inside = NEAR - 40 <= self.place <= FAR + 40
        wanted = {"status": "VALID"} if inside else {"status": "OUT_OF_RANGE"}

        def arrived():
            said = self.record.now(self.prefix)
            here = {"z": {"value": self.place, "units": "mm"}}
            return said["status"] == wanted["status"] and (not inside or said["position"] == here)

        wait_for(arrived, what=f"{wanted} at {self.place}: {self.record.history(self.prefix)[-4:]}")
        if inside:
            said = self.record.now(self.prefix)
            geometry, expected = Geometry.parse(said["geometry"]), at(self.model, self.place)
            for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3"):
                assert abs(getattr(geometry, name) - getattr(expected, name)) <= ALLOWED
            assert float(get(f"{self.prefix}Dist_RBV")) == geometry.dist

    def wrong(self):
        """Find where a client saw VALID with a geometry that is not the model's at that place."""

        def is_wrong(said, stands):
            if said["status"] != "VALID" or "model" not in said["provenance"]:
                return False
            if not NEAR - 40 <= stands["z"] <= FAR + 40:
                return True
            return shift_px(self.model, Geometry.parse(said["geometry"]), at(self.model, stands["z"])) > STALE

        return [
            f"{span}\n{record.around(span)}"
            for record in self.records
            for span in record.spans(self.prefix, is_wrong, 0.6)
        ]


@pytest.fixture
def on_rail(make_ioc, make_motors):
    motors = make_motors()
    motors.place = NEAR
    motors.start()
    more = {DETECTOR: "settle = 0.1\n" + motors.link("z", "Z:RBV", moving="Z:MOVN", tolerance=1.0)}
    ioc = make_ioc(detectors=(DETECTOR,), more=more, other_ports=(motors.port,)).start()
    rail = Rail(ioc, motors)
    yield rail
    rail.record.close()


def restart_at(rail, place):
    """Kill the IOC, move the detector, and start it again."""

    def restart():
        rail.ioc.kill()
        rail.go(place)
        rail.ioc.start()

    rail.interrupted(restart)


def lose_link(rail, place):
    """Kill the server of the motor, and start it again with the motor at a place."""
    rail.motors.kill()
    rail.record.until(status="UNKNOWN")
    rail.motors.place = rail.place = place
    rail.interrupted(rail.motors.start)


def go_anywhere(rail, count, seed):
    """Move to places at random, in steps of 0.1 mm too, with a fault now and then."""
    source, statuses = random.Random(seed), []
    for number in range(count):
        kind = source.choices(("far", "step", "through", "outside"), (4, 4, 2, 2))[0]
        place = round(source.uniform(NEAR - 40, FAR + 40), 3)
        if kind == "step" and NEAR - 39 < rail.place < FAR + 39:
            place = round(rail.place + source.choice((-0.1, 0.1)), 3)
        elif kind == "outside":
            place = source.choice((NEAR - 50, FAR + 50, FAR + 500))
        if number % 14 == 3:
            restart_at(rail, place)
        elif number % 14 == 6:
            lose_link(rail, place)
        else:
            rail.go(place, (MIDDLE, NEAR) if kind == "through" else ())
        rail.require()
        statuses.append(rail.record.now(rail.prefix)["status"])
    return statuses


def correct_a_member(rail):
    """Retract a calibration: the model is stale until one without it is committed."""
    execute(rail.prefix, Retract(rail.members[0][0], "the wrong standard"))
    rail.record.until(status="RETRACTED")
    rail.go(MIDDLE + 7)
    rail.record.until_seen(MIDDLE + 7, moving=False)
    assert rail.record.now(rail.prefix)["status"] in ("RETRACTED", "MOVING")
    rail.record.until(status="RETRACTED")
    rail.commit(rail.members[1:])
    rail.require()


@pytest.mark.parametrize("count", [MOVES, pytest.param(MANY, marks=pytest.mark.campaign)])
def test_detector_that_moves_anywhere_is_valid_only_with_the_geometry_of_its_place(on_rail, count):
    statuses = go_anywhere(on_rail, count * 3 // 4, count)
    correct_a_member(on_rail)
    statuses += go_anywhere(on_rail, count - count * 3 // 4, count + 1)
    wrong = on_rail.wrong()
    outside = statuses.count("OUT_OF_RANGE")
    print(f"{count} places: {count - outside} VALID, {outside} OUT_OF_RANGE; VALID with another geometry: {len(wrong)}")
    assert not wrong, "\n".join(wrong)
    assert 0 < outside < count / 2


def test_pvs_and_commands_show_the_model_and_what_it_gave_at_a_time(on_rail, call):
    on_rail.go(1300.0)
    on_rail.require()
    prefix = on_rail.prefix
    text = "computed for z 1300 mm; holds for z 960 to 1440 mm (calibrated 1000 to 1400)"
    assert get(f"{prefix}ModelRange_RBV") == text
    assert json.loads(get(f"{prefix}Model_RBV")) == on_rail.model.as_dict()
    assert get(f"{prefix}Method_RBV") == "model"
    evaluation = on_rail.model.evaluate({"z": 1300.0})
    assert float(get(f"{prefix}DistSigma_RBV")) == evaluation.sigma["dist"]
    since = get(f"{prefix}Time_RBV")
    on_rail.go(1350.0)
    on_rail.require()
    shown = json.loads(call("get", prefix, "--at", since, "--json").stdout)
    assert (shown["geometry"]["dist"], shown["active"]) == (at(on_rail.model, 1300.0).dist, False)
    assert put(f"{prefix}Activate", "1") is None
    assert get(f"{prefix}Model_RBV") == get(f"{prefix}ModelRange_RBV") == ""
