"""Every PV of the contract has a source: a PV of the table that is never published fails here."""

import asyncio
import contextlib

import pytest
from caproto import AlarmStatus, ChannelType

from ponikeeper.access.loading import Access
from ponikeeper.ca import service
from ponikeeper.ca.access_pvs import AccessPVs
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.clock_pvs import ClockPVs, read_clock
from ponikeeper.ca.detector_pvs import DetectorPVs
from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.ca.putlog import PutLog
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.ca.stats_pvs import StatsPVs
from ponikeeper.config import load
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.errors import RefusedError
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind
from ponikeeper.putlog.sinks import make_sink
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread

CONFIG = """
[ioc]
prefix = "I{OC}"
state_dir = "."
putlog = "puts"
[[detector]]
prefix = "D{1}:"
[[detector.link]]
name = "z"
pv = "Z.RBV"
kind = "motor"
units = "mm"
tolerance = 0.1
"""

READABLE = {
    Kind.DOUBLE: ([0.25], ChannelType.DOUBLE),
    Kind.LONG: ([0], ChannelType.LONG),
    Kind.ENUM: ([1], ChannelType.ENUM),
    Kind.STRING: ([b"revision 1"], ChannelType.STRING),  # what History:Read can answer; the others refuse it
    Kind.TEXT: (b"{}", ChannelType.CHAR),
}
"""A put of each kind: its outcome does not matter."""


class NoClients:
    """Replacement of the server context, without a server."""

    def clients(self):
        return []

    def count_clients(self):
        return 0, 0

    def count_refused_clients(self):
        return 0

    async def update_access_rights(self):
        """Do nothing, since there are no clients."""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "ioc.toml").write_text(CONFIG)
    return load(tmp_path / "ioc.toml")


def unpublished(channels):
    """Return the names of the channels that were never published."""
    return [name for name, channel in channels.items() if not channel._published_at]


def test_every_pv_of_a_detector_is_published_at_the_start_or_after_a_put(config):
    (detector,) = config.detector

    async def work():
        store = StoreThread(await asyncio.to_thread(SQLiteStorage, config.store))
        try:
            links = LinkStates(detector.link, detector.settle)
            keeper = Keeper(detector.prefix, store, detector.limits, links)
            await keeper.load()
            group = DetectorPVs(detector, keeper, links, store)
            await group.start()
            for pv in DETECTOR_PVS:
                if pv.writable:
                    with contextlib.suppress(RefusedError):
                        await group.pvdb[detector.prefix + pv.suffix].handle_put(
                            *READABLE[pv.kind], ClientIdentity("a", "b", "c")
                        )
            return group.pvdb
        finally:
            store.close()

    channels = asyncio.run(work())
    assert channels.keys() == {detector.prefix + pv.suffix for pv in DETECTOR_PVS}
    assert unpublished(channels) == []


def test_every_pv_of_the_ioc_is_published_soon_after_the_start(config):
    async def work():
        store = StoreThread(await asyncio.to_thread(SQLiteStorage, config.store))
        channels = await service._ioc_channels(store)
        putlog = PutLog(make_sink(config.ioc.putlog, config.source.parent), channels)
        ClockPVs(channels, [], read_clock())
        clients = NoClients()
        running = (
            AccessPVs(Access(config), config, channels).run(clients),
            StatsPVs(channels, "me", "here", 1).run(clients),
            putlog.run(),
        )
        tasks = [asyncio.create_task(each) for each in running]
        try:
            async with asyncio.timeout(10):
                while unpublished(channels):  # noqa: ASYNC110  # each part has events of its own
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await putlog.close()
            store.close()
        return channels

    channels = asyncio.run(work())
    assert channels.keys() == {pv.suffix for pv in IOC_PVS}
    assert unpublished(channels) == []


@pytest.mark.parametrize(
    ("ok", "expected"),
    [(True, (0, b"OK", "all is well")), (False, (2, b"FAILED", "all is well"))],
)
def test_health_is_a_status_and_a_message_with_the_same_alarm(ok, expected):
    channels = {pv.suffix: make_channel(pv) for pv in IOC_PVS}
    HealthPVs(channels, "PutLog", AlarmStatus.WRITE).publish(ok, "all is well")
    status, message = channels["PutLog:Status_RBV"], channels["PutLog:Message_RBV"]
    assert (int(status.severity), str(status.value).encode(), message.value) == expected
    assert (message.severity, message.status) == (status.severity, status.status)
    assert status.status is (AlarmStatus.NO_ALARM if ok else AlarmStatus.WRITE)


def test_health_message_is_short_ascii():
    channels = {pv.suffix: make_channel(pv) for pv in IOC_PVS}
    HealthPVs(channels, "Access", AlarmStatus.READ).publish(False, "Zürich" * 1000)
    text = channels["Access:Message_RBV"].value
    assert len(text) == 1000
    assert text.startswith("Z\\xfcrich")
