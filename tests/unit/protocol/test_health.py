"""What Nagios and Prometheus are told."""

from dataclasses import replace

import pytest

from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.health import (
    NUMBERS,
    PARTS,
    DetectorHealth,
    Health,
    IocHealth,
    Verdict,
    judge,
    nagios_text,
    prometheus_text,
)

SNAPSHOT = Snapshot.from_json(EXAMPLES["snapshot"])
P = SNAPSHOT.prefix
GOOD = IocHealth({}, dict.fromkeys(NUMBERS, 2.0) | {"Storage:Free_RBV": 5e9})
MOVED = DetectorHealth(replace(SNAPSHOT, status="MOVED", reason="z is at 500 mm"), 2)
VALID = DetectorHealth(SNAPSHOT, 0)


def of_detector(detectors):
    return Health(P, None, detectors, of_ioc=False)


def of_ioc(ioc=GOOD, detectors=None, min_free=1e9):
    return Health("28id1", ioc, {P: VALID} if detectors is None else detectors, min_free)


def test_ioc_that_works_is_ok_wherever_its_detectors_are():
    for detector in (VALID, MOVED):
        assert judge(of_ioc(detectors={P: detector})) == (
            Verdict.OK,
            ["the IOC answers, 1 detector, 5000 MB free for the history"],
        )


@pytest.mark.parametrize(
    ("health", "verdict", "text"),
    [
        (of_ioc(ioc=None, detectors={}), "CRITICAL", "the IOC of 28id1 does not answer"),
        (of_ioc(detectors={P: None}), "CRITICAL", f"{P} does not answer"),
        (of_ioc(IocHealth({"Storage": "disk is full"}, GOOD.numbers)), "CRITICAL", "Storage FAILED: disk is full"),
        (of_ioc(IocHealth({"Clock": "it is 1970"}, GOOD.numbers)), "WARNING", "Clock FAILED: it is 1970"),
        (replace(of_ioc(), over_pva=False), "CRITICAL", "the IOC of 28id1 does not answer over PVAccess"),
        (of_ioc(min_free=6e9), "WARNING", "5000 MB free for the history, less than 6000 MB"),
        (of_detector({P: VALID}), "OK", f"{P} VALID"),
        (of_detector({P: MOVED}), "CRITICAL", f"{P} MOVED, z is at 500 mm"),
        (of_detector({P: replace(MOVED, severity=1)}), "WARNING", f"{P} MOVED, z is at 500 mm"),
        (of_detector({P: replace(MOVED, severity=3)}), "CRITICAL", f"{P} MOVED, z is at 500 mm"),
        (
            of_detector({P: None}),
            "CRITICAL",
            f"{P} does not answer: is the prefix right, is the IOC running? Expected the prefix of a detector, or the "
            "configuration of an IOC",
        ),
    ],
)
def test_what_is_wrong_is_named(health, verdict, text):
    assert judge(health) == (Verdict[verdict], [text])
    assert nagios_text(health).startswith(f"PONIKEEPER {verdict} - {text}")


def test_worst_problem_is_first_and_each_has_a_line():
    ioc = IocHealth({"PutLog": "a | b\nc", "Storage": "disk is full"}, GOOD.numbers)
    first, second = nagios_text(of_ioc(ioc)).split("\n")
    assert first.startswith("PONIKEEPER CRITICAL - Storage FAILED: disk is full | storage_free_bytes=5000000000 ")
    assert second == "PutLog FAILED: a / b c"
    assert [pair.partition("=")[0] for pair in first.partition(" | ")[2].split()][2:4] == ["clients", "channels"]


def test_numbers_for_nagios_have_no_exponent():
    numbers = GOOD.numbers | {"Storage:Free_RBV": 82039590912.0, "Storage:Latency_RBV": 2.5e-5}
    text = nagios_text(of_ioc(IocHealth({}, numbers)))
    assert "storage_free_bytes=82039590912 storage_latency_seconds=0.000025 clients=2 " in text


def test_prometheus_has_a_sample_for_each_part_number_and_detector():
    text = prometheus_text(of_ioc(IocHealth({"Clock": "?"}, GOOD.numbers), {P: MOVED, 'X"\\:': None}))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == 'ponikeeper_up{ioc="28id1"} 1'
    assert [line for line in lines if "part_ok" in line] == [
        f'ponikeeper_part_ok{{ioc="28id1",part="{part}"}} {int(part != "Clock")}' for part in PARTS
    ]
    assert 'ponikeeper_storage_free_bytes{ioc="28id1"} 5000000000' in lines
    assert f'ponikeeper_detector_up{{detector="{P}"}} 1' in lines
    assert 'ponikeeper_detector_up{detector="X\\"\\\\:"} 0' in lines
    for metric, value in (("geometry_applies", 0), ("geometry_status", 3), ("geometry_severity", 2), ("revision", 13)):
        assert f'ponikeeper_{metric}{{detector="{P}"}} {value}' in lines
    metrics = [line.partition("{")[0] for line in lines]
    described = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert list(dict.fromkeys(metrics)) == described
    assert text.endswith("\n")


@pytest.mark.parametrize("over_pva", [None, True, False])
def test_prometheus_has_pvaccess_where_the_ioc_serves_it(over_pva):
    line = f'ponikeeper_up_pva{{ioc="28id1"}} {int(bool(over_pva))}'
    assert (line in prometheus_text(replace(of_ioc(), over_pva=over_pva))) is (over_pva is not None)


def test_prometheus_says_that_nothing_answers():
    lines = prometheus_text(of_ioc(ioc=None, detectors={P: None})).splitlines()
    assert [line for line in lines if line[0] != "#"] == [
        'ponikeeper_up{ioc="28id1"} 0', f'ponikeeper_detector_up{{detector="{P}"}} 0',
    ]  # fmt: skip
