"""The PVs of a live IOC are those of the contract: types, metadata, fields, access, alarms, timestamps."""

import itertools
import json

import aioca
import pytest
from caproto import ChannelType, ErrorResponse

import speak
from live import wait_for
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.header import write_header
from ponikeeper.protocol.pvs import (
    DETECTOR_PVS,
    IOC_PVS,
    MAX_DESC_BYTES,
    WITH_SIGMA,
    Kind,
    readback,
    setpoint,
    sigma,
    staged,
)
from speak import GEOMETRY, TIMEOUT, Wire, commit_text, get, monitoring, put, read, run

NATIVE = {
    Kind.DOUBLE: aioca.DBR_DOUBLE, Kind.LONG: aioca.DBR_LONG, Kind.STRING: aioca.DBR_STRING,
    Kind.TEXT: aioca.DBR_CHAR, Kind.ENUM: aioca.DBR_ENUM,
}  # fmt: skip

OF_ACTIVATION = (
    *(readback(name) for name in (*NAMES, "detector_config")),
    *(setpoint(name) for name in (*NAMES, "detector_config")),
    *(staged(name) for name in NAMES),
    "Revision_RBV", "Serial_RBV", "Time_RBV", "Label_RBV", "Status_RBV", "Reason_RBV", "Snapshot_RBV", "Poni_RBV",
    "Header_RBV",
    "Energy_RBV", "WavelengthA_RBV", "BeamX_RBV", "BeamY_RBV", "DirectDist_RBV", "Tilt_RBV", "TiltPlane_RBV",
    *(sigma(name) for name in WITH_SIGMA), "Accuracy_RBV",
    "Method_RBV", "Calibrant_RBV", "Residual_RBV", "NPoints_RBV", "NRings_RBV", "Author_RBV", "RunUid_RBV",
    "Comment_RBV", "History:Count_RBV", "History:Selected_RBV", "History:List_RBV",
    "Accepted_RBV", "Message_RBV", "Results_RBV",
)  # fmt: skip
"""PVs that an activation changes."""


def every_pv(ioc):
    """Pair each PV of the contract with its full names on an IOC."""
    found = [(pv, prefix + pv.suffix) for prefix in ioc.prefixes[:2] for pv in DETECTOR_PVS]
    return found + [(pv, f"{ioc.name}{{IOC}}{pv.suffix}") for pv in IOC_PVS]


def test_every_pv_has_its_native_type_count_and_access(farm):
    pvs, names = zip(*every_pv(farm), strict=True)
    found = run(aioca.cainfo(list(names), timeout=TIMEOUT))
    for pv, channel in zip(pvs, found, strict=True):
        assert (channel.datatype, channel.count) == (NATIVE[pv.kind], pv.max_length), pv
        assert (channel.read, channel.write) == (True, pv.writable), pv


def test_every_number_and_enum_carries_its_metadata(farm):
    pvs, names = zip(*((pv, name) for pv, name in every_pv(farm) if pv.kind is not Kind.TEXT), strict=True)
    for pv, value in zip(pvs, speak.info(list(names)), strict=True):
        if pv.kind is Kind.ENUM:
            assert tuple(value.enums) == pv.states, pv
        if pv.kind in (Kind.DOUBLE, Kind.LONG):
            assert value.units == pv.units, pv
        if pv.kind is Kind.DOUBLE:
            assert value.precision == pv.precision, pv
            assert (value.lower_ctrl_limit, value.upper_ctrl_limit) == (pv.limits or (0, 0)), pv


def test_every_pv_answers_to_its_record_fields(farm):
    pvs, names = zip(*every_pv(farm), strict=True)
    expected = {
        "DESC": [pv.desc for pv in pvs],
        "EGU": [pv.units for pv in pvs],
        "RTYP": [pv.record_type for pv in pvs],
    }
    for field, texts in expected.items():
        assert [str(text) for text in read([f"{name}.{field}" for name in names])] == texts
    doubles = [(pv, name) for pv, name in every_pv(farm) if pv.kind is Kind.DOUBLE]
    assert [int(value) for value in read([f"{name}.PREC" for _, name in doubles])] == [
        pv.precision for pv, _ in doubles
    ]


def test_descriptions_are_ascii_and_fit_a_ca_string():
    for pv in (*DETECTOR_PVS, *IOC_PVS):
        assert pv.desc.isascii(), pv
        assert 0 < len(pv.desc) <= MAX_DESC_BYTES, pv


def test_pv_names_are_unique():
    for pvs in (DETECTOR_PVS, IOC_PVS):
        assert len({pv.suffix for pv in pvs}) == len(pvs)


@pytest.mark.parametrize("field", ["DESC", "EGU", "PREC", "RTYP", "NAME", "HIHI", "DRVH", "SCAN", "PROC", "DISP"])
def test_record_fields_are_read_only(ioc_of, prefix, field):
    name = f"{prefix}Dist.{field}"
    before = read([name])[0]
    with Wire(ioc_of(prefix).port) as wire:
        channel = wire.channel(name)
        assert isinstance(wire.put(channel, [b"7"], ChannelType.STRING), ErrorResponse)
        assert not channel.access_rights & 2
    assert read([name])[0] == before


def test_alarm_fields_follow_the_record(farm, prefix):
    name = f"{prefix}Status_RBV"
    fields = [f"{name}.{field}" for field in ("NAME", "SEVR", "STAT", "UDF")]
    assert [str(value) for value in read(fields, aioca.DBR_STRING)] == [name, "INVALID", "UDF", "1"]
    put(f"{prefix}Request", commit_text())
    assert [str(value) for value in read(fields, aioca.DBR_STRING)] == [name, "NO_ALARM", "NO_ALARM", "0"]


@pytest.mark.parametrize(
    "name", ["Dist.VALU", "Dist.NELM", "Dist.dist", "Label_RBV.HIHI", "Status_RBV.PREC", "Poni.ZRST"]
)
def test_fields_that_such_a_record_does_not_have_do_not_exist(ioc_of, prefix, name):
    with Wire(ioc_of(prefix).port) as wire, pytest.raises(AssertionError):
        wire.channel(f"{prefix}{name}")


def test_readbacks_accept_no_puts_even_from_a_client_that_ignores_access_rights(ioc_of, prefix):
    put(f"{prefix}Request", commit_text())
    suffixes = [pv.suffix for pv in DETECTOR_PVS if not pv.writable]
    shown = [prefix + suffix for suffix in suffixes if suffix != "Alive_RBV"]  # which changes all the time
    before = read(shown)
    with Wire(ioc_of(prefix).port) as wire:
        for suffix in suffixes:
            answer = wire.put(wire.channel(prefix + suffix), [b"1"], ChannelType.STRING)
            assert isinstance(answer, ErrorResponse), suffix
    after = read(shown)
    assert [str(value) for value in after] == [str(value) for value in before]
    assert [value.raw_stamp for value in after] == [value.raw_stamp for value in before]


def test_unset_detector_shows_nan_with_a_reason(prefix):
    numbers = [readback(name) for name in PARAMETERS] + [setpoint(name) for name in PARAMETERS]
    invalid = [*numbers, "Detector_RBV", "Status_RBV", "Reason_RBV", "Snapshot_RBV", "Energy_RBV"]
    for suffix, value in zip(invalid, read([prefix + suffix for suffix in invalid]), strict=True):
        assert (value.severity, value.status) == (3, 17), suffix  # INVALID, UDF
    assert all(value != value for value in read([prefix + suffix for suffix in numbers]))  # NaN
    found = speak.snapshot(prefix)
    assert (found["status"], found["revision"], found["serial"], found["geometry"]) == ("UNSET", 0, 0, None)


def test_refused_put_gives_no_pv_an_alarm(prefix):
    put(f"{prefix}Request", commit_text())
    names = [prefix + pv.suffix for pv in DETECTOR_PVS]
    before = [(value.severity, value.status) for value in read(names)]
    assert put(f"{prefix}Dist", -1.0)
    assert put(f"{prefix}Request", "{")
    assert put(f"{prefix}Stage:Wavelength", 1.66)
    assert [(value.severity, value.status) for value in read(names)] == before
    unknown = {prefix + suffix for suffix in (*(sigma(name) for name in WITH_SIGMA), "Accuracy_RBV")}
    assert {name for name, (severity, _) in zip(names, before, strict=True) if severity} == unknown  # no fit


def test_alarm_of_one_detector_is_not_that_of_another(fresh_prefix):
    prefix, other = fresh_prefix(), fresh_prefix()
    put(f"{prefix}Request", commit_text())
    assert read([f"{prefix}Status_RBV"])[0].severity == 0
    assert read([f"{other}Status_RBV"])[0].severity == 3


def test_all_that_one_activation_changes_carries_its_time(prefix):
    for number, dist in enumerate((0.3, 0.4, 0.5)):
        text = commit_text(f"r{number}", geometry={**GEOMETRY, "dist": dist})
        assert put(f"{prefix}Request", text) is None
        wait_for(lambda number=number: shown_in_history(prefix) == number + 1)  # behind the acknowledgement
        values = read([prefix + suffix for suffix in OF_ACTIVATION])
        stamps = {suffix: value.raw_stamp for suffix, value in zip(OF_ACTIVATION, values, strict=True)}
        assert {suffix: stamp for suffix, stamp in stamps.items() if stamp != stamps["Snapshot_RBV"]} == {}
        seconds, nanoseconds = stamps["Snapshot_RBV"]
        found = speak.snapshot(prefix)["activated"]
        assert found.endswith(f"{round(nanoseconds / 1000):06d}Z"), (seconds, nanoseconds, found)


def shown_in_history(prefix):
    return json.loads(get(f"{prefix}History:Selected_RBV") or '{"revision": 0}')["revision"]


def test_timestamps_never_decrease_not_even_across_a_restart(make_ioc):
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    names = [ioc.prefix + pv.suffix for pv in DETECTOR_PVS]
    stamps = []

    def look():
        stamps.append([value.raw_stamp for value in read(names)])

    look()
    for action in (
        lambda: put(f"{ioc.prefix}Request", commit_text()),
        lambda: put(f"{ioc.prefix}Dist", 0.3),
        lambda: put(f"{ioc.prefix}Dist", -1.0),
        lambda: put(f"{ioc.prefix}Stage:Rot1", 0.1),
        lambda: put(f"{ioc.prefix}Stage:Clear", 1),
        lambda: put(f"{ioc.prefix}Activate", "1"),
        lambda: put(f"{ioc.prefix}History:Select", 2),
    ):
        action()
        look()
    serial = read([f"{ioc.prefix}Serial_RBV"])[0]
    ioc.kill()
    ioc.start()
    speak.forget()
    look()
    again = read([f"{ioc.prefix}Serial_RBV"])[0]
    for suffix, value in (("Request", "{"), ("Activate", "9"), ("Stage:Apply", 1), ("Dist", 0.35)):
        put(ioc.prefix + suffix, value)
        look()
    for earlier, later in itertools.pairwise(stamps):
        back = [name for name, old, new in zip(names, earlier, later, strict=True) if new < old]
        assert not back
    assert (int(again), again.raw_stamp) == (int(serial), serial.raw_stamp)


def test_publication_ends_with_snapshot_serial_and_results(ioc_of, prefix):
    put(f"{prefix}Request", commit_text())
    last = ("Dist_RBV", "Dist", "Header_RBV", "Snapshot_RBV", "Serial_RBV", "Results_RBV")
    order = []
    with Wire(ioc_of(prefix).port) as wire:
        subscribed = {}
        for suffix in last:
            channel = wire.channel(prefix + suffix)
            command = channel.subscribe(data_type=ChannelType.TIME_DOUBLE if "Dist" in suffix else None, data_count=0)
            subscribed[command.subscriptionid] = suffix
            wire.send(command)
            wire.receive(speak.ca.EventAddResponse)
        assert put(f"{prefix}Dist", 0.3) is None
        while "Results_RBV" not in order:
            order.append(subscribed[wire.receive(speak.ca.EventAddResponse).subscriptionid])
    assert order == list(last)


def test_setpoint_follows_an_activation_by_other_means(prefix):
    put(f"{prefix}Request", commit_text())
    with monitoring(f"{prefix}Dist", f"{prefix}Stage:Dist") as monitors:
        assert put(f"{prefix}Request", commit_text("second", geometry={"dist": 0.3})) is None
        wait_for(lambda: [float(monitor.values[-1]) for monitor in monitors] == [0.3, 0.3])
    assert get(f"{prefix}Dist_RBV") == 0.3


def test_header_is_what_the_snapshot_says_with_zeros_up_to_its_length(prefix):
    for text in (None, commit_text(), commit_text("second", geometry={"dist": 0.31})):
        if text:
            assert put(f"{prefix}Request", text) is None
        data = bytes(run(aioca.caget(f"{prefix}Header_RBV", datatype=aioca.DBR_CHAR, count=256, timeout=TIMEOUT)))
        assert (len(data), data[-1:]) == (256, b"\0")
        header = write_header(Snapshot.from_json(get(f"{prefix}Snapshot_RBV")))
        assert data.rstrip(b"\0").decode("ascii") == header
