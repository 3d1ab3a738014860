"""The alarm tree of an IOC, as the Phoebus alarm server imports it, derived from the PV contract. Pure.

The severity of each status is in `ponikeeper.protocol.status`, guidance and delay in `ponikeeper.protocol.pvs`.
"""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ponikeeper.config import Config
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV


def alarm_tree(config: Config, root: str) -> str:
    """Format the alarm tree: a component for the IOC, in it one for each detector.

    Parameters
    ----------
    config
        Configuration of the IOC.
    root
        Name of the alarm configuration that the tree becomes a part of.

    Returns
    -------
    str
        XML for the import of the alarm server.
    """
    tree = ET.Element("config", name=root)
    ioc = _component(tree, config.source.stem)
    for detector in config.detector:
        title = detector.title or detector.prefix
        _add_alarms(_component(ioc, title), title, detector.prefix, DETECTOR_PVS)
    _add_alarms(ioc, config.source.stem, config.ioc.prefix, IOC_PVS)
    ET.indent(tree)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(tree, encoding="unicode")}\n'


def _component(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, "component", name=name.replace("/", " "))  # a slash separates the levels of the tree


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
