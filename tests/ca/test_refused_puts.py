"""Refused puts to single PVs: invalid values, and types that a client may not send."""

import math

import aioca
import pytest
from caproto import ChannelType, ErrorResponse

import speak
from live import wait_for
from ponikeeper.protocol import MAX_BYTES
from refusing import forged, refused, said
from speak import GEOMETRY, Wire, commit_text, counters, get, put


@pytest.fixture(scope="module")
def calibrated(fresh_prefix):
    """Prefix of a detector with an active geometry; every test leaves it active."""
    prefix = fresh_prefix()
    assert put(f"{prefix}Request", commit_text("begin", label="near")) is None
    return prefix


SINGLES = {
    "unknown detector": ("Detector", "Nonesuch", "is not in the table of detectors"),
    "detector that fills its PV": ("Detector", "D" * 39, "was probably cut by its client"),
    "no detector": ("Detector", "", "is empty"),
    "staged detector that fills its PV": ("Stage:Detector", "D" * 39, "was probably cut by its client"),
    "configuration that is not valid JSON": ("DetectorConfig", "{orientation: 3}", "DetectorConfig is not valid JSON"),
    "configuration that is a list": ("DetectorConfig", "[3]", "is not a JSON object"),
    "configuration that is not UTF-8": ("DetectorConfig", b"\xff", "DetectorConfig is not valid JSON"),
    "configuration that fills its PV": ("DetectorConfig", b"{" + b" " * (MAX_BYTES - 1), "fills its PV"),
    "orientation 5": ("DetectorConfig", '{"orientation": 5}', "expected 1, 2, 3 or 4"),
    "text for a number": ("Dist", b"far", "is not a number"),
    "activating nothing": ("Activate", "  ", "Activate is empty"),
    "activating what is not there": ("Activate", "2", "there is no revision 2: the history has revisions 1 to 1"),
    "activating beyond all numbers": ("Activate", "9" * 30, "there is no revision"),
    "activating an unknown label": ("Activate", "far", "there is no revision far: the history has labels near"),
    "activating nonsense": ("Activate", "\u00b2", "there is no revision"),
    "applying nothing": ("Stage:Apply", 1, "nothing is staged"),
}


@pytest.mark.parametrize(("suffix", "value", "reason"), SINGLES.values(), ids=SINGLES)
def test_bad_put_to_a_single_pv_is_refused(calibrated, suffix, value, reason):
    wire = {"Dist": ChannelType.STRING, "Activate": ChannelType.STRING}.get(suffix)

    def action():
        if wire is None or value == "":
            return put(calibrated + suffix, value)
        with Wire(int(port(calibrated))) as circuit:
            raw = value if isinstance(value, bytes) else value.encode("latin-1")
            return isinstance(circuit.put(circuit.channel(calibrated + suffix), [raw], wire), ErrorResponse)

    assert reason in said(refused(calibrated, suffix, action))


def port(prefix):
    """Return the port on which a detector is served."""
    return speak.run(aioca.cainfo(f"{prefix}Dist")).host.rpartition(":")[2]


FOREIGN = {
    "CTRL_DOUBLE with forged limits": (
        "Dist", [0.3], ChannelType.CTRL_DOUBLE, "a put of type CTRL_DOUBLE is not accepted: expected a plain value",
    ),
    "GR_DOUBLE": ("Dist", [0.3], ChannelType.GR_DOUBLE, "a put of type GR_DOUBLE is not accepted"),
    "TIME_DOUBLE": ("Wavelength", [1.5e-11], ChannelType.TIME_DOUBLE, "a put of type TIME_DOUBLE is not accepted"),
    "STS_DOUBLE": ("Dist", [0.3], ChannelType.STS_DOUBLE, "a put of type STS_DOUBLE is not accepted"),
    "STS_STRING": ("Activate", [b"1"], ChannelType.STS_STRING, "a put of type STS_STRING is not accepted"),
    "PUT_ACKT": ("Dist", [1], ChannelType.PUT_ACKT, "a put of type PUT_ACKT is not accepted"),
    "PUT_ACKS": ("Dist", [1], ChannelType.PUT_ACKS, "a put of type PUT_ACKS is not accepted"),
    "number for a text": (
        "Request", [1.5], ChannelType.DOUBLE, "a put of type DOUBLE is not accepted: expected a text",
    ),
    "infinity for a state": ("Stage:Apply", [math.inf], ChannelType.DOUBLE, "Stage:Apply"),
    "no such state": ("Stage:Clear", [7], ChannelType.ENUM, "there is no such state: expected Idle, Do"),
    "name of no state": ("Stage:Clear", [b"Maybe"], ChannelType.STRING, "there is no such state: expected Idle, Do"),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "data", "data_type", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_put_of_another_type_is_refused_and_leaves_the_metadata(ioc_of, calibrated, suffix, data, data_type, reason):
    def action():
        with Wire(ioc_of(calibrated).port) as wire:
            channel = wire.channel(calibrated + suffix)
            return isinstance(wire.put(channel, data, data_type, metadata=forged(data_type)), ErrorResponse)

    before = speak.info([f"{calibrated}Dist"])[0]
    assert reason in said(refused(calibrated, suffix, action))
    after = speak.info([f"{calibrated}Dist"])[0]
    for name in ("units", "precision", "lower_ctrl_limit", "upper_ctrl_limit", "severity", "status"):
        assert getattr(after, name) == getattr(before, name), name


def test_refusal_reaches_the_client_as_put_failure(calibrated):
    assert "Channel write request failed" in str(put(f"{calibrated}Dist", -1.0))


def test_put_without_completion_is_refused_as_any_other(calibrated):
    _, rejected = counters(calibrated)
    speak.run(aioca.caput(f"{calibrated}Dist", -1.0, wait=False))
    wait_for(lambda: counters(calibrated)[1] == rejected + 1)
    assert get(f"{calibrated}Dist") == GEOMETRY["dist"]
