"""What the alarm server, the archiver and the list of PVs are given: made from the contract and the configuration."""

import json
from xml.etree import ElementTree as ET

import pytest

from ponikeeper.config import load
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind
from ponikeeper.site.alarms import alarm_tree
from ponikeeper.site.archiver import archiver_request
from ponikeeper.site.pv_list import pv_list

CONFIG = """
[ioc]
prefix = "XF:28ID1-CT{IOC:Calib}"
state_dir = "/var/lib/ponikeeper"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE1}Calib:"
title = "Near/far <1> & Söhne"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE2}Calib:"
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def config(path):
    return load(path)


def test_every_pv_is_listed_once(config):
    names = pv_list(config).splitlines()
    assert len(names) == len(set(names)) == len(IOC_PVS) + 2 * len(DETECTOR_PVS)
    assert "XF:28ID1-CT{IOC:Calib}Storage:Status_RBV" in names
    assert "XF:28ID1-ES{Det:PE2}Calib:Dist_RBV" in names


def test_what_is_archived_is_monitored_and_holds_the_geometry(config):
    rows = json.loads(archiver_request(config))
    assert {row["samplingmethod"] for row in rows} == {"MONITOR"}
    names = [row["pv"] for row in rows]
    assert len(names) == len(set(names))
    wanted = {
        pv.suffix for pv in DETECTOR_PVS if pv.parameter and pv.suffix.endswith("_RBV") and pv.kind is not Kind.TEXT
    }
    for prefix in ("XF:28ID1-ES{Det:PE1}Calib:", "XF:28ID1-ES{Det:PE2}Calib:"):
        there = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        assert there >= wanted | {"Revision_RBV", "Serial_RBV", "Status_RBV"}


def test_what_is_archived_is_a_readback_and_no_text():
    archived = [pv for pv in (*DETECTOR_PVS, *IOC_PVS) if pv.archived]
    assert not [pv.suffix for pv in archived if pv.writable or pv.kind is Kind.TEXT]


def test_alarm_tree_has_a_component_for_each_detector_and_guidance_for_each_alarm(config):
    tree = ET.fromstring(alarm_tree(config, "Accelerator"))
    assert (tree.tag, tree.get("name")) == ("config", "Accelerator")
    (ioc,) = tree.findall("component")
    assert ioc.get("name") == "28id1"
    names = [component.get("name") for component in ioc.findall("component")]
    assert names == ["Near far <1> & Söhne", "XF:28ID1-ES{Det:PE2}Calib:"]
    pvs = [pv.get("name") for pv in tree.iter("pv")]
    expected = [f"ca://{detector.prefix}{pv.suffix}" for detector in config.detector for pv in DETECTOR_PVS if pv.alarm]
    assert pvs == expected + [f"ca://{config.ioc.prefix}{pv.suffix}" for pv in IOC_PVS if pv.alarm]
    assert all(pv.findtext("guidance/details") for pv in tree.iter("pv"))


def test_motion_that_ends_is_no_alarm_to_acknowledge(config):
    tree = ET.fromstring(alarm_tree(config, "Accelerator"))
    for pv in tree.iter("pv"):
        passes = pv.get("name").endswith("Calib:Status_RBV")
        assert (pv.findtext("latching"), pv.findtext("delay")) == (("false", "60") if passes else ("true", None))
