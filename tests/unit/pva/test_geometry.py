"""The structure of one detector: what the snapshot says, with its alarm and time."""

import asyncio
import time

import pytest
from caproto import AlarmSeverity, AlarmStatus

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.ca.channels import make_channel
from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Commit
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.pva.geometry import Geometry
from ponikeeper.pva.geometry_rules import flat
from ponikeeper.text import strictjson

EVE = ClientIdentity("eve", "", "10.0.0.9")
SNAPSHOT_PV = next(pv for pv in DETECTOR_PVS if pv.suffix == "Snapshot_RBV")
SNAPSHOT = strictjson.loads(EXAMPLES["snapshot"])


class Requests:
    def __init__(self):
        self.executed, self.refused = [], []

    async def execute(self, request, identity):
        assert identity is EVE
        self.executed.append(request)

    async def refuse(self, problems):
        self.refused.append(problems)
        raise RefusedError(problems)


@pytest.fixture
def channel():
    made = make_channel(SNAPSHOT_PV)
    post(made)
    return made


def post(channel, **values):
    text = strictjson.dumps({**SNAPSHOT, "reason": "z moves", **values})
    channel.post(text, 1_790_000_000.5, AlarmSeverity.MINOR_ALARM, AlarmStatus.STATE)


def test_structure_has_alarm_with_the_reason_and_time_of_the_snapshot(channel):
    geometry = Geometry(channel, Requests())
    fields = geometry.update()
    assert {name for name, _ in geometry.type.spec} == fields.keys()
    assert geometry.metadata() == {}
    assert fields["dist"] == SNAPSHOT["geometry"]["dist"]
    assert fields["alarm"] == {"severity": 1, "status": 1, "message": "z moves"}
    assert fields["timeStamp"]["nanoseconds"] == 500_000_000


def put(geometry, **changed):
    return asyncio.run(geometry.put(changed, EVE))


def test_put_is_one_request(channel):
    requests = Requests()
    put(Geometry(channel, requests), dist=0.3, serial=SNAPSHOT["serial"])
    assert requests.executed == [
        Commit({"dist": 0.3}, {"method": "manual"}, edit=True, expect_serial=SNAPSHOT["serial"])
    ]


def test_put_that_is_no_request_is_refused_as_any_other(channel):
    requests = Requests()
    with pytest.raises(RefusedError, match="status can only be read"):
        put(Geometry(channel, requests), dist=0.3, status="VALID!")
    assert len(requests.refused) == 1
    assert requests.executed == []


def test_what_has_moved_on_since_it_was_read_can_be_put_back(channel):
    requests = Requests()
    geometry = Geometry(channel, requests)
    read = geometry.update()
    post(channel, reason="z is at rest")
    geometry.update()
    put(geometry, dist=0.3, reason=read["reason"])
    assert len(requests.executed) == 1
    with pytest.raises(RefusedError, match="reason can only be read"):
        put(geometry, dist=0.3, reason="never said")


def test_put_of_many_wrong_fields_is_refused_quickly(channel):
    """Other puts wait for the loop meanwhile."""
    geometry = Geometry(channel, Requests())
    for _ in range(100):
        geometry.update()
    wrong = {name: "x" if isinstance(value, str) else -1 for name, value in flat(geometry.update()).items()}
    took = []
    for _ in range(5):
        began = time.process_time()
        with pytest.raises(RefusedError):
            put(geometry, **wrong)
        took.append(time.process_time() - began)
    assert min(took) < 0.006
