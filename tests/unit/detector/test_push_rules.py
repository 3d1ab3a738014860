"""What is written to the detector's own PVs: what differs, where the geometry applies, and while it is idle."""

import dataclasses

import pytest

from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.push_rules import LATE, READ_BACK, RETRY, Outcome, Progress, decide_push
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Status
from ponikeeper.protocol.link_units import Egu
from ponikeeper.protocol.pushed_values import VALUES, driver_targets
from strategies import VALUES as NUMBERS

TARGETS = driver_targets("eiger", "D:", ("beam_x", "distance"))
GEOMETRY = Geometry(**NUMBERS)
WANTED = {target.pv: VALUES[target.value].value_in(target.units, GEOMETRY) for target in TARGETS}
NOW = 1000.0


def samples(beam_x=0.0, distance=0.0, acquiring=0.0, **more):
    made = {
        "D:BeamX": Sample(True, 0.0),
        "D:DetDist": Sample(True, 0.0),
        "D:BeamX_RBV": Sample(True, beam_x, egu=Egu("pixels")),
        "D:DetDist_RBV": Sample(True, distance, egu=Egu("m")),
        "D:Acquire_RBV": Sample(True, acquiring),
    }
    return made | {f"D:{name}": sample for name, sample in more.items()}


def right(**more):
    return samples(WANTED["D:BeamX"], WANTED["D:DetDist"], **more)


def decide(found, status=Status.VALID, geometry=GEOMETRY, serial=7, progress=Progress(), now=NOW, targets=TARGETS):  # noqa: B008
    return decide_push(targets, geometry, status, serial, found, progress, now)


def puts(decision):
    return {target.pv: value for target, value in decision.puts}


def test_nothing_is_configured():
    decision = decide({}, targets=())
    assert (decision.outcome, decision.puts) == (Outcome.OFF, ())


def test_after_an_activation_what_differs_is_written():
    assert puts(decide(samples())) == WANTED
    assert puts(decide(samples(beam_x=WANTED["D:BeamX"]))) == {"D:DetDist": WANTED["D:DetDist"]}
    done = decide(right())
    assert (done.outcome, done.puts, done.done) == (Outcome.OK, (), True)
    assert done.message == "the detector has the values of activation 7"


@pytest.mark.parametrize(
    "status", [status for status in Status if status.name not in ("VALID", "UNWATCHED", "UNCERTAIN")]
)
def test_nothing_is_written_where_the_geometry_does_not_apply(status):
    decision = decide(samples(), status)
    assert (decision.outcome, decision.puts) == (Outcome.WAITING, ())
    assert decision.message == f"the status is {status.name}: nothing is written until the geometry applies"
    assert decide(samples(), geometry=None).puts == ()


def test_nothing_is_written_while_the_detector_acquires():
    decision = decide(samples(acquiring=1.0))
    assert (decision.outcome, decision.puts) == (Outcome.WAITING, ())
    assert decision.message == "the detector acquires (D:Acquire_RBV): written when it is idle"
    assert decide(right(acquiring=1.0)).outcome is Outcome.OK


def test_what_was_written_must_be_read_back_in_time():
    progress = Progress(7, NOW)
    waiting = decide(samples(beam_x=5.0), progress=progress, now=NOW + 1.0)
    assert (waiting.outcome, waiting.puts, waiting.until) == (Outcome.WAITING, (), NOW + READ_BACK)
    late = decide(samples(beam_x=5.0, distance=WANTED["D:DetDist"]), progress=progress, now=NOW + READ_BACK)
    assert (late.outcome, late.puts) == (Outcome.FAILED, ())
    assert late.message.startswith("D:BeamX_RBV is 5 px, the active geometry has 1003.")
    assert late.message.endswith(
        ": the detector did not accept it, or it was changed there; to write it, activate the revision again"
    )
    assert puts(decide(samples(), serial=8, progress=progress)) == WANTED


def test_failed_put_is_an_alarm_and_tried_again_later():
    progress = Progress(written_at=NOW, failure="D:BeamX cannot be written: denied")
    soon = decide(samples(), progress=progress, now=NOW + 1.0)
    assert (soon.outcome, soon.message, soon.until) == (Outcome.FAILED, progress.failure, NOW + RETRY)
    assert puts(decide(samples(), progress=progress, now=NOW + RETRY)) == WANTED


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"BeamX_RBV": Sample()}, "D:BeamX_RBV is not connected"),
        ({"DetDist": Sample()}, "D:DetDist is not connected"),
        (
            {"BeamX": Sample(True, error="it is an array of 5", kind="array")},
            "D:BeamX is an array: expected a PV with one number: nothing is written",
        ),
        (
            {"DetDist_RBV": Sample(True, error='it says "0.2"', egu=Egu("m"), kind="text")},
            "D:DetDist_RBV is a text: expected a PV with one number: nothing is written",
        ),
        (
            {"DetDist": Sample(True, 1.0, kind="states")},
            "D:DetDist is an enum: expected a PV with one number: nothing is written",
        ),
        ({"Acquire_RBV": Sample(True, error="it is lost")}, "D:Acquire_RBV cannot be used: it is lost"),
        ({"Acquire_RBV": Sample()}, "D:Acquire_RBV is not connected"),
        (
            {"DetDist_RBV": Sample(True, 1.0, egu=Egu("mm"))},
            "D:DetDist_RBV is in mm, the configuration says m: nothing is written",
        ),
    ],
)
def test_what_cannot_be_written_is_an_alarm(more, message):
    decision = decide(samples(**more))
    assert (decision.outcome, decision.puts, decision.message) == (Outcome.FAILED, (), message)


def test_units_are_known_before_anything_is_written():
    decision = decide(samples(DetDist_RBV=Sample(True, 1.0)))
    assert (decision.outcome, decision.puts) == (Outcome.WAITING, ())


def test_detector_that_is_never_ready_is_an_alarm_after_some_time():
    for found in (samples(acquiring=1.0), samples(DetDist_RBV=Sample(True, 1.0))):
        first = decide(found)
        assert (first.outcome, first.is_late) == (Outcome.WAITING, False)
        assert (first.waiting_since, first.until) == (NOW, NOW + LATE)
        progress = Progress(waiting_since=first.waiting_since)
        soon = decide(found, serial=8, progress=progress, now=NOW + LATE - 1.0)
        assert (soon.is_late, soon.waiting_since, soon.until) == (False, NOW, NOW + LATE)
        late = decide(found, serial=8, progress=progress, now=NOW + LATE)
        assert (late.outcome, late.puts, late.is_late, late.until) == (Outcome.WAITING, (), True, None)
        assert late.message == (
            f"{first.message}; for more than 10 minutes it has had other values than the active geometry"
        )
        ready = decide(samples(), progress=progress, now=NOW + LATE)
        assert (puts(ready), ready.waiting_since, ready.is_late) == (WANTED, None, False)
        assert decide(found, Status.MOVED, progress=progress, now=NOW + LATE).is_late is False


def test_readback_that_is_late_ends_the_alarm():
    progress = Progress(7, NOW)
    assert decide(samples(), progress=progress, now=NOW + READ_BACK).outcome is Outcome.FAILED
    done = decide(right(), progress=progress, now=NOW + 10 * READ_BACK)
    assert (done.outcome, done.done) == (Outcome.OK, True)


@pytest.mark.parametrize("whole", ["BeamX", "BeamX_RBV"])
def test_pv_of_whole_numbers_gets_the_value_rounded(whole):
    kinds = {whole: Sample(True, 0.0, egu=Egu("px"), kind="whole")}
    rounded = float(round(WANTED["D:BeamX"]))
    assert rounded != WANTED["D:BeamX"]
    assert puts(decide(samples(**kinds))) == {**WANTED, "D:BeamX": rounded}
    kinds |= {"BeamX_RBV": Sample(True, rounded, egu=Egu("px"), kind="whole")}
    assert decide(right(**kinds), progress=Progress(7, NOW)).outcome is Outcome.OK
    kinds |= {"BeamX_RBV": Sample(True, rounded - 1.0, egu=Egu("px"), kind="whole")}
    assert decide(right(**kinds), progress=Progress(7, NOW), now=NOW + READ_BACK).outcome is Outcome.FAILED


def test_two_iocs_that_write_to_one_detector_do_not_write_in_turns():
    other = dataclasses.replace(GEOMETRY, dist=0.5)
    geometries, progress, found, count = (GEOMETRY, other), [Progress(), Progress()], samples(), 0
    for step in range(20):
        for index, geometry in enumerate(geometries):
            decision = decide(found, geometry=geometry, progress=progress[index], now=NOW + step * READ_BACK)
            count += len(decision.puts)
            found = found | {target.readback: Sample(True, value, egu=found[target.readback].egu)
                             for target, value in decision.puts}  # fmt: skip
            if decision.puts or decision.done:
                progress[index] = Progress(7, NOW + step * READ_BACK)
    assert count == 4, "two values, by each of them once"
    last = [decide(found, geometry=geometry, progress=each, now=NOW + 1e3)
            for geometry, each in zip(geometries, progress, strict=True)]  # fmt: skip
    assert [each.outcome for each in last] == [Outcome.FAILED, Outcome.OK]
    assert "it was changed there" in last[0].message


@pytest.mark.parametrize("text", ["", "px", "pixel", "Pixels"])
def test_words_for_pixels(text):
    assert puts(decide(samples(BeamX_RBV=Sample(True, 1.0, egu=Egu(text))))) == WANTED


def test_centre_of_another_orientation_needs_the_shape_of_the_image():
    geometry = dataclasses.replace(GEOMETRY, detector="Detector", detector_config={"orientation": 2})
    decision = decide(samples(), geometry=geometry)
    assert (decision.outcome, decision.puts) == (Outcome.FAILED, ())
    assert (
        decision.message
        == "beam_x is not defined for this geometry (orientation 2): expected max_shape in detector_config"
    )


def test_record_that_was_never_processed_is_written_and_must_have_a_value_then():
    unset = Sample(True, error="its alarm is INVALID", egu=Egu("m"))
    assert puts(decide(samples(DetDist_RBV=unset))) == WANTED
    late = decide(samples(WANTED["D:BeamX"], DetDist_RBV=unset), progress=Progress(7, NOW), now=NOW + READ_BACK)
    assert late.outcome is Outcome.FAILED
    assert late.message.startswith("D:DetDist_RBV cannot be used: its alarm is INVALID, the active geometry has 0.2344")
