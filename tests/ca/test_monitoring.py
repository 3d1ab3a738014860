"""The PVs in the lists for archiver, alarm server and monitoring exist on a live IOC, with their alarms."""

import json
from xml.etree import ElementTree as ET

from caproto import AlarmSeverity

import speak
from ponikeeper.config import load
from ponikeeper.site.alarm_tree import alarm_tree
from ponikeeper.site.archiver import archiver_request
from ponikeeper.site.pv_list import pv_list


def test_pv_list_has_exactly_the_pvs_that_are_served(ioc):
    names = pv_list(load(ioc.config)).splitlines()
    assert f" pvs={len(names)} " in ioc.ready
    assert len(speak.read(names)) == len(names)


def test_archived_pvs_and_alarm_pvs_exist(prefix, ioc_of):
    config = load(ioc_of(prefix).config)
    archived = [row["pv"] for row in json.loads(archiver_request(config))]
    alarms = [pv.get("name").removeprefix("ca://") for pv in ET.fromstring(alarm_tree(config, "A")).iter("pv")]
    mine = [name for name in archived + alarms if name.startswith((prefix, config.ioc.prefix))]
    values = dict(zip(mine, speak.read(mine), strict=True))
    assert values[f"{prefix}Status_RBV"].severity == AlarmSeverity.INVALID_ALARM  # UNSET
    assert values[f"{config.ioc.prefix}Storage:Status_RBV"].severity == AlarmSeverity.NO_ALARM
