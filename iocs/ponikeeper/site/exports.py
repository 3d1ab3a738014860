"""What an alarm server, an archiver and a list of PVs need to know of an IOC, from the contract alone. Pure."""

import json
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from ponikeeper.config import Config
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV

_PERIOD = 1.0
"""How often a value that is archived is expected to change at most (s): it sizes the archiver's buffers."""


def pv_list(config: Config) -> str:
    """List the names of all PVs, one a line."""
    return "".join(f"{prefix}{pv.suffix}\n" for prefix, pvs in _served(config) for pv in pvs)


def archiver_request(config: Config) -> str:
    """Write what the Archiver Appliance's ``archivePV`` takes: which PVs to archive, each by monitor (JSON)."""
    archived = [f"{prefix}{pv.suffix}" for prefix, pvs in _served(config) for pv in pvs if pv.archived]
    rows = [{"pv": name, "samplingmethod": "MONITOR", "samplingperiod": str(_PERIOD)} for name in archived]
    return json.dumps(rows, indent=1) + "\n"


def alarm_tree(config: Config, root: str) -> str:
    """Write what Phoebus' alarm server imports: a component for the IOC, and in it one for each detector (XML).

    Parameters
    ----------
    root
        Name of the alarm configuration that it becomes a part of.
    """
    tree = ET.Element("config", name=root)
    ioc = _component(tree, config.source.stem)
    for detector in config.detector:
        title = detector.title or detector.prefix
        _add_alarms(_component(ioc, title), title, detector.prefix, DETECTOR_PVS)
    _add_alarms(ioc, config.source.stem, config.ioc.prefix, IOC_PVS)
    ET.indent(tree)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(tree, encoding="unicode")}\n'


def _served(config: Config) -> Iterator[tuple[str, Sequence[PV]]]:
    yield config.ioc.prefix, IOC_PVS
    for detector in config.detector:
        yield detector.prefix, DETECTOR_PVS


def _component(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, "component", name=name.replace("/", " "))  # a slash parts the levels of the tree


def _add_alarms(component: ET.Element, title: str, prefix: str, pvs: Sequence[PV]) -> None:
    for pv in pvs:
        if pv.alarm is None:
            continue
        element = ET.SubElement(component, "pv", name=f"ca://{prefix}{pv.suffix}")
        _text(element, "description", f"{title}: {pv.desc}")
        _text(element, "enabled", "true")
        _text(element, "latching", "true" if pv.alarm.latching else "false")
        _text(element, "annunciating", "false")
        if pv.alarm.delay:
            _text(element, "delay", str(pv.alarm.delay))
        guidance = ET.SubElement(element, "guidance")
        _text(guidance, "title", "What to do")
        _text(guidance, "details", pv.alarm.guidance)


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
