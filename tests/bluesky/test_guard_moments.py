"""Changes at random moments of guarded runs: no event is recorded with a geometry that was not active."""

import random
import threading
import time
from dataclasses import dataclass

import bluesky.plans as bp
import pytest
from ophyd.status import Status

import speak
from live import wait_for
from motion import Record
from panels import FlatPanel
from ponikeeper_client.guard import calibration_guard
from speak import GEOMETRY

NEAR, FAR = 200.0, 1000.0


@dataclass
class Exposure:
    began: float
    ended: float = 0.0


class Timed(FlatPanel):
    """A detector that exposes for a random time, and records when."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.exposures = []
        self.seconds = lambda: 0.0

    def trigger(self):
        status = Status(self)
        exposure = Exposure(time.time())
        self.exposures.append(exposure)

        def end():
            exposure.ended = time.time()
            status.set_finished()

        threading.Timer(self.seconds(), end).start()
        return status


class Meddler:
    """A thread that commits, rolls back, and moves the detector at random times."""

    def __init__(self, panel, motors, seed):
        self._prefix, self._motors, self._random = panel.calib.prefix, motors, random.Random(seed)
        self._ended = threading.Event()
        self.did = {"caput": 0, "rollback": 0, "follow": 0}
        self._thread = threading.Thread(target=self._meddle, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def _meddle(self):
        place = FAR
        while not self._ended.wait(self._random.uniform(0.005, 0.12)):
            what = self._random.choice(list(self.did))
            if what == "caput":
                speak.put(f"{self._prefix}Dist", round(self._random.uniform(0.1, 2.0), 12))
            elif what == "rollback":
                count = int(speak.get(f"{self._prefix}History:Count_RBV"))
                speak.put(f"{self._prefix}Activate", str(self._random.randint(1, count)))
            else:
                place = NEAR if place == FAR else FAR
                for suffix, value in (("Z:MOVN", 1), ("Z:RBV", place), ("Z:MOVN", 0)):
                    speak.put(self._motors.pv(suffix), value)
            self.did[what] += 1


def wrong(event, exposure, recorded, shown):
    """Compare the record of an event with all changes that a third client saw; return what is wrong with it.

    A change was certainly active once another client has seen it; it was not active
    before its own time.
    """
    serials = [(seen.at, snapshot["serial"], snapshot["activated"], snapshot["geometry"]) for seen, snapshot in shown]
    mine = [row for row in serials if row[1] == recorded["serial"]]
    if not mine:
        return "was never active"
    if any(mine[0][3][key] != recorded[key] for key in GEOMETRY):
        return "has not the numbers of its serial"
    replaced = next((at for at, serial, *_ in serials if serial > recorded["serial"]), None)
    if replaced is not None and replaced < exposure.ended:
        return f"was replaced {exposure.ended - replaced:.4f} s before the exposure ended"
    return None


def check(make_ioc, make, motors, take, runs, seed):
    links = "settle = 0.1\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    ioc = make_ioc(more={"{Det:1}Calib:": links}, other_ports=(motors.port,)).start()
    panel = make(Timed, ioc.prefix.removesuffix("Calib:"), "pe1")
    for place in (NEAR, FAR):
        speak.put(motors.pv("Z:RBV"), place)
        wait_for(lambda place=place: (link := panel.calib.read_links()[0]).value == place and not link.unknown_because)
        panel.calib.set({**GEOMETRY, "dist": place / 1000}).wait(timeout=30)
    dice = random.Random(seed)
    panel.seconds = lambda: dice.uniform(0.0, 0.06)
    problems, events, changed, described = [], 0, 0, 0
    with Record([panel.calib.prefix], {"z": motors.pv("Z:RBV")}) as record, Meddler(panel, motors, seed) as meddler:
        for number in range(runs):
            panel.exposures.clear()
            run = take(calibration_guard(bp.count([panel], (1, 2, 10)[number % 3])))
            assert run["stop"][0]["exit_status"] == "success"
            shown = record.snapshots(panel.calib.prefix)
            descriptors = {one["uid"]: one["configuration"]["pe1"]["data"] for one in run["descriptor"]}
            used = []
            for event, exposure in zip(run["event"], panel.exposures, strict=True):
                data = descriptors[event["descriptor"]]
                result = {key.removeprefix("pe1_calib_"): value for key, value in data.items()}
                used.append(result["serial"])
                problem = wrong(event, exposure, result, shown)
                if problem:
                    problems.append(f"run {number}, event {event['seq_num']}, serial {result['serial']}: {problem}")
            events += len(used)
            changed += len(set(used)) > 1
            described += len(descriptors)
    print(
        f"\n{runs} runs, {events} events, {described} descriptors; {changed} runs met more than one geometry; "
        f"{meddler.did}; events recorded with a geometry that was not theirs: {len(problems)}"
    )
    assert problems == []
    assert changed > runs / 10


def test_no_event_is_recorded_with_a_geometry_that_was_not_its_own(make_ioc, make, motors, take):
    check(make_ioc, make, motors, take, runs=24, seed=1)


@pytest.mark.campaign
def test_no_event_is_recorded_with_a_geometry_that_was_not_its_own_at_length(make_ioc, make, motors, take):
    check(make_ioc, make, motors, take, runs=500, seed=2)
