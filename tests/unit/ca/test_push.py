"""The state of what is written to the detector, as its PVs show it."""

import pytest
from caproto import AlarmSeverity

from deciding import active
from ponikeeper.ca.push import Pusher
from ponikeeper.detector import push_rules
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.state import DetectorState
from ponikeeper.protocol import Status
from ponikeeper.protocol.link_units import Egu
from ponikeeper.protocol.pushed_values import driver_targets
from ponikeeper.store import StoredState


@pytest.mark.parametrize(
    ("late", "severity"), [(600.0, AlarmSeverity.NO_ALARM), (0.0, AlarmSeverity.MINOR_ALARM)], ids=["soon", "late"]
)
def test_detector_that_is_never_idle_is_a_minor_alarm_after_some_time(monkeypatch, late, severity):
    monkeypatch.setattr(push_rules, "LATE", late)
    published = {}
    pusher = Pusher(driver_targets("eiger", "D:", ("beam_x",)), published.update)
    for pv in pusher.pvs:
        pusher.update(pv, Sample(True, 1.0, egu=Egu("px")))
    pusher.note(DetectorState("P:", StoredState(revision=active()), follow=True, status=Status.VALID))
    pusher.start()
    status, message = published["Push:Status_RBV"], published["Push:Message_RBV"]
    assert (status.value, message.value[:21]) == ("Waiting", "the detector acquires")
    assert (status.severity, message.severity) == (severity, severity)
