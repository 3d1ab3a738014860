"""The access rules over PVAccess: every writable PV, user and host, as over Channel Access."""

import pytest

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind
from pva_wire import PvaWire, double, index, long, text
from speak import commit_text, counters, get

HUTCH, OFFICE = "127.0.0.2", "127.0.0.1"
STRANGERS = [
    ("eve", HUTCH), ("alice", OFFICE), ("eve", OFFICE), (" ", HUTCH), ("Alice", HUTCH), ("", HUTCH), (None, HUTCH),
    ("anonymous", HUTCH), ("alice ", HUTCH), ("alice\0", HUTCH), ("root", HUTCH),
]  # fmt: skip
PUTS = {
    Kind.DOUBLE: double(0.3), Kind.LONG: long(1), Kind.STRING: text("1"), Kind.TEXT: text("1"), Kind.ENUM: index(1),
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(make_ioc_for_module):
    """An IOC on which only alice may write, and only from the hutch."""
    ioc = make_ioc_for_module(pva=True, access=f'write = ["{HUTCH}/32"]\nusers = ["alice"]', own='putlog = "puts"')
    ioc.start()
    with PvaWire(ioc.pva_port, "alice", HUTCH) as wire:
        assert wire.put(f"{ioc.prefix}Request", *text(commit_text("begin"))) is None
    return ioc


def served(ioc):
    """Return each PV of the IOC and of one detector, with what is put to it."""
    pvs = [(ioc.prefix + pv.suffix, pv.writable, PUTS[pv.kind]) for pv in DETECTOR_PVS if not pv.query_only]
    pvs += [(f"{ioc.name}{{IOC}}{pv.suffix}", pv.writable, PUTS[pv.kind]) for pv in IOC_PVS]
    return [*pvs, (f"{ioc.prefix}{NAME}", True, double(0.3))]


@pytest.mark.parametrize(("user", "source"), STRANGERS)
def test_stranger_changes_nothing_by_any_pv(guarded, user, source):
    denied = f"{guarded.name}{{IOC}}Denied_RBV"
    before = get(f"{guarded.prefix}Snapshot_RBV"), counters(guarded.prefix)
    denied_before, writable = get(denied), 0
    with PvaWire(guarded.pva_port, user, source) as wire:
        for name, is_writable, put in served(guarded):
            error = wire.put(name, *put)
            assert error is not None, name
            expected = "the access rules forbid it" if is_writable else f"{name} is a readback and cannot be put"
            assert expected in error, name
            writable += is_writable
    print(f"{writable} puts of {user!r} at {source} to writable PVs, {len(served(guarded))} in all: 0 passed")
    assert writable > 30
    assert (get(f"{guarded.prefix}Snapshot_RBV"), counters(guarded.prefix)) == before
    wait_for(lambda: get(denied) == denied_before + writable)


def test_client_that_may_write_may_write_writable_pvs_only(guarded):
    with PvaWire(guarded.pva_port, "alice", HUTCH) as wire:
        for name, is_writable, put in served(guarded):
            error = wire.put(name, *put) or ""
            assert "the access rules forbid it" not in error, name
            assert ("is a readback and cannot be put" in error) is not is_writable, name
        assert wire.put(f"{guarded.prefix}Dist", *double(0.31)) is None
        assert get(f"{guarded.prefix}Dist_RBV") == 0.31
        assert wire.put(f"{guarded.prefix}{NAME}", *double(0.32)) is None
        assert get(f"{guarded.prefix}Dist_RBV") == 0.32


def test_client_that_may_read_may_read_the_history(guarded):
    with PvaWire(guarded.pva_port, "eve", OFFICE) as wire:
        assert wire.put(f"{guarded.prefix}History:Read", *text("revision 1")) is None
    assert '"read": "revision 1"' in get(f"{guarded.prefix}History:Read_RBV")


def test_put_log_has_each_put_with_the_address_of_the_connection(guarded):
    with PvaWire(guarded.pva_port, "eve", HUTCH) as wire:
        wire.put(f"{guarded.prefix}{NAME}", *double(0.33))
    line = (guarded.folder / "puts").read_text().splitlines()[-1]
    for part in ('"user": "eve"', f'"address": "{HUTCH}"', '"new": {"dist": 0.33}', '"outcome": "denied"'):
        assert part in line
    assert speak.snapshot(guarded.prefix)["geometry"]["dist"] != 0.33
