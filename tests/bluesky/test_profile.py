"""The example profile, end to end: RE Manager, motors, IOC, Tiled, and a reducer that reads only start documents."""

import json
import random
from dataclasses import dataclass

import pytest

import profile_site
import speak
from calibrating import off_px
from live import wait_for
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import applies
from ponikeeper_client import documents, recall

SHAPE = (512, 512)
RIGHT = 0.1
"""How far the rings of a fitted geometry may be from those of the true one (px)."""

RING, WIDTH = 59.13, 0.3
"""Where the ring (311) of nickel is, 2 pi sqrt(11) / a, and how far from there its strongest point may be (1/nm)."""


@pytest.fixture(scope="module")
def site(make_ioc_for_module, make_motors_for_module, tmp_path_factory):
    with serving(make_ioc_for_module, make_motors_for_module, tmp_path_factory.mktemp("profile")) as site:
        yield site


def serving(make_ioc, make_motors, folder, preprocessors=None):
    motors = make_motors()
    ioc = make_ioc(detectors=("{Det:PE1}Calib:",), other_ports=(motors.port,))
    return profile_site.running(folder, ioc, motors, preprocessors)


def taken(site, plans, fails=""):
    """Run plans in the queue; return the uids of their runs, without those of calibrations."""
    results = site.queue.run_all(plans)
    failed = [f"{plan['name']}: {each['msg']}" for plan, each in zip(plans, results, strict=False) if each["msg"]]
    assert all(fails and fails in each for each in failed), failed
    assert bool(failed) == bool(fails)
    pairs = zip(plans, results, strict=False)
    return [uid for plan, result in pairs if plan["name"] != "calibrate" for uid in result["run_uids"]]


@dataclass
class Counts:
    """Of the events in Tiled, and of what the reducer did with them."""

    events: int = 0
    other: int = 0
    without: int = 0
    starts: int = 0
    other_starts: int = 0
    reduced: int = 0
    other_rings: int = 0

    def __str__(self):
        return (
            f"{self.events} events in Tiled, {self.other} with another geometry than the detector had, {self.without} "
            f"of which no geometry is known; reducer: {self.starts} starts, {self.other_starts} with another geometry "
            f"than that of their events, {self.reduced} events integrated, {self.other_rings} with rings elsewhere"
        )


def count(site, uids):
    """Compare each event in Tiled, and what the reducer did with it, with where the detector was."""
    expected = sum(len(site.catalog[uid][stream]["pe1c_truth"].read()) for uid in uids for stream in site.catalog[uid])
    lines = wait_for(lambda: reduced(site, uids, expected), what="the reducer")
    counts = Counts(starts=len(uids))
    for uid in uids:
        run, (start, *events) = site.catalog[uid], lines[uid]
        fitting = {True}
        for each in recall.recorded(run, "pe1c") if list(run) else ():
            truths = run[each.stream]["pe1c_truth"].read()
            counts.events += len(each.seq_nums)
            if applies(each.status):
                expected = documents.calibration_md(each.geometry)
                offs = [off_px(each.geometry, Geometry.parse(json.loads(truths[n - 1])), SHAPE) for n in each.seq_nums]
                counts.other += sum(off > RIGHT for off in offs)
            else:
                expected = None
                counts.without += len(each.seq_nums)
            fitting.add(start["calibration_md"] == expected)
        counts.other_starts += fitting != {True}
        rings = [line["ring"] for line in events if line["ring"] is not None]
        counts.reduced += len(rings)
        counts.other_rings += sum(abs(ring - RING) > WIDTH for ring in rings)
    print(f"\n{counts}")
    return counts


def reduced(site, uids, events):
    """Return the lines of the reducer by run, once all are there."""
    lines = {uid: [] for uid in uids}
    for line in site.consumed():
        lines.get(line["run"], []).append(line)
    done = all(lines.values()) and sum(len(each) - 1 for each in lines.values()) == events
    return lines if done else None


def test_plans_of_the_page_are_recorded_and_reduced_with_the_geometry_of_the_detector(site):
    counts = count(site, taken(site, profile_site.plans_of_the_page()))
    assert (counts.events, counts.without, counts.reduced) == (9, 1, 8)
    assert (counts.other, counts.other_starts, counts.other_rings) == (0, 0, 0)


def at_positions(one_run):
    """Return a plan of ponikeeper for both distances."""
    options = {"num": 2, "one_run": one_run}
    return {"name": "at_positions", "args": [["pe1c"], "Det_1_Z", ["near", "far"]], "kwargs": options}


@pytest.mark.campaign
def test_days_of_a_beamline_are_recorded_and_reduced_with_the_geometry_of_the_detector(site):
    """The detector is knocked and calibrated again; between that, plans of all kinds, and uncalibrated places."""
    page = profile_site.plans_of_the_page()
    calibrating, measuring = page[:4], [*page[4:6], *(at_positions(one_run) for one_run in (False, True))]
    dice, uids, uncalibrated = random.Random(20), [], 0
    for number in range(20):
        if number % 4 == 0:
            assert speak.put(site.pv("Sim:Knocked"), dice.uniform(-2e-3, 2e-3)) is None
            taken(site, calibrating)
        plans = [dice.choice(measuring) for _ in range(3)]
        if number % 2:
            place = dice.uniform(300, 900)
            plans += [{"name": "mv", "args": ["Det_1_Z", place]}, {"name": "count", "args": [["pe1c"]]}]
            uncalibrated += 1
        uids += taken(site, plans)
    counts = count(site, uids)
    assert (counts.events, counts.without, counts.reduced) == (240 + uncalibrated, uncalibrated, 240)
    assert (counts.other, counts.other_starts, counts.other_rings) == (0, 0, 0)


GUARD = "RE.preprocessors.append(calibration_guard)"
MD = "RE.preprocessors.append(calibration_md_wrapper)"
FAIL = 'RE.preprocessors.append(partial(calibration_md_wrapper, on_change="fail"))'


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("preprocessors", "wrong_starts", "wrong_rings"),
    [([], 0, 0), ([MD], 1, 2), ([GUARD, MD], 1, 2), ([GUARD, FAIL], 0, 0)],
    ids=["none", "md", "guard and md", "guard and md that fails"],
)
def test_reducer_sees_what_the_page_says_with_other_preprocessors(
    make_ioc_for_module, make_motors_for_module, tmp_path_factory, preprocessors, wrong_starts, wrong_rings
):
    folder, text = tmp_path_factory.mktemp("other"), "\n".join(preprocessors)
    with serving(make_ioc_for_module, make_motors_for_module, folder, text) as site:
        fails = "on_change of calibration_md_wrapper" if FAIL in preprocessors else ""
        counts = count(site, taken(site, profile_site.plans_of_the_page()[:6], fails))
        warns = "calibration_md of the run has revision 2 far, VALID, but the detector is read with"
        assert (warns in site.queue.log.read_text()) == (MD in preprocessors) or fails
    assert (counts.events, counts.other) == (4 if fails else 8, 0)
    assert (counts.other_starts, counts.other_rings) == (wrong_starts, wrong_rings)
    assert counts.without == 0 or GUARD not in preprocessors
