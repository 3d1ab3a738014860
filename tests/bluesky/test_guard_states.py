"""What the guard compares: a model by its uid, as far as each event says where its links are."""

import pytest

from ponikeeper_client.guard._state import CalibrationState


def state(serial=5, uid="m", status="VALID", out=(), joints=(("z", 1000.0),), displaced=()):
    return CalibrationState(serial, uid, status, frozenset(out), joints, frozenset(displaced))


HERE = state()


@pytest.mark.parametrize(
    ("other", "travelling", "same"),
    [
        (state(), (), True),
        (state(6, joints=(("z", 1100.0),)), ("z",), True),
        (state(6, joints=(("z", 1100.0),)), ("z", "y"), True),
        (state(6, joints=(("z", 1100.0),)), (), False),
        (state(6, joints=(("z", 1100.0),)), ("y",), False),
        (state(6, "other", joints=(("z", 1100.0),)), ("z",), False),
        (state(6, joints=()), ("z",), False),
    ],
)
def test_model_is_compared_by_its_uid(other, travelling, same):
    assert HERE.has_geometry_of(other, travelling) is other.has_geometry_of(HERE, travelling) is same


@pytest.mark.parametrize(
    ("y", "travelling", "same"), [(2.0, ("z",), False), (1.0, ("z",), True), (2.0, ("y", "z"), True)]
)
def test_joint_that_no_event_tells_is_compared(y, travelling, same):
    one = state(joints=(("y", 1.0), ("z", 1000.0)))
    assert one.has_geometry_of(state(6, joints=(("y", y), ("z", 1100.0))), travelling) is same


def test_revision_that_is_no_model_is_compared_by_its_serial():
    assert not state(joints=()).has_geometry_of(state(6, joints=()), ("z",))


@pytest.mark.parametrize(
    ("other", "moving", "same"),
    [
        (state(status="MOVING", displaced=("z",)), ("z",), True),
        (state(status="MOVING", displaced=("z",)), (), False),
        (state(status="MOVED", displaced=("z",)), ("z",), True),
        (state(status="MOVED", displaced=("y",)), ("z", "y"), False),
        (state(status="MOVED", displaced=("y", "z")), ("z", "y"), False),
        (state(status="MOVING"), ("z",), False),
        (state(status="OUT_OF_RANGE"), ("z",), False),
        (state(status="UNCERTAIN"), ("z",), False),
        (state(out=("y",)), ("z",), False),
        (state(status="MOVING", displaced=("z",), joints=()), ("z",), False),
    ],
)
def test_motion_of_its_own_links_is_no_other_status_of_a_model(other, moving, same):
    assert HERE.has_status_of(other, moving) is other.has_status_of(HERE, moving) is same


def test_what_applied_may_stand_for_the_motion_of_its_links_only():
    assert HERE.may_stand_for(state(status="MOVING", displaced=("z",)), ("z",))
    assert HERE.may_stand_for(state(status="UNCERTAIN"), ())
    assert not HERE.may_stand_for(state(status="MOVING", displaced=("z",)), ())
    assert not HERE.may_stand_for(state(status="RETRACTED"), ("z",))
