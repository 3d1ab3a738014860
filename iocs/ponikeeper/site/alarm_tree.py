"""The alarm tree of an IOC, as the Phoebus alarm server imports it, derived from the PV contract. Pure.

The severity of each status is in `ponikeeper.protocol.status`, guidance and delay in `ponikeeper.protocol.pvs`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ponikeeper.config import Config
from ponikeeper.errors import ConfigError
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV


def usual_root(config: Config) -> str:
    """Return the name of an alarm configuration that only this IOC has; it becomes the name of Kafka topics."""
    return "ponikeeper-" + re.sub(r"[^A-Za-z0-9._-]", "_", config.source.stem)


def alarm_tree(config: Config, root: str) -> str:
    """Format the alarm tree: a component for the IOC, in it one for each detector.

    Parameters
    ----------
    config
        Configuration of the IOC.
    root
        Name of the alarm configuration. An import by the alarm server first deletes all that is below this name.

    Returns
    -------
    str
        XML for the import of the alarm server.

    Raises
    ------
    ConfigError
        The name cannot be that of an alarm configuration.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", root):
        raise ConfigError(
            f"--root {root} cannot be the name of an alarm configuration, which becomes the name of Kafka topics: "
            f"expected letters, digits, and any of . _ -, such as {usual_root(config)}"
        )
    tree = ET.Element("config", name=root)
    tree.append(_ioc(config))
    return _xml(tree)


def alarm_component(config: Config) -> str:
    """Format the component of the IOC alone, to be put into a tree that the site has."""
    return _xml(_ioc(config))


def with_component(site: str, config: Config) -> str:
    """Format a tree of the site with the component of the IOC; all else of the tree is kept.

    Parameters
    ----------
    site
        XML as the export of the alarm server writes it.
    config
        Configuration of the IOC. A component of the same name, at any level, is replaced; otherwise the component
        becomes the last one of the tree.

    Returns
    -------
    str
        XML for the import of the alarm server.

    Raises
    ------
    ConfigError
        The text is not an alarm tree.
    """
    expected = "expected an alarm tree as alarm-server -export writes it"
    try:
        tree = ET.fromstring(site, parser=ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))  # noqa: S314
    except ET.ParseError as error:
        raise ConfigError(f"{error}: {expected}") from None
    if tree.tag != "config":
        raise ConfigError(f"it begins with <{tree.tag}>: {expected}")
    ioc = _ioc(config)
    for parent in tree.iter():
        for index, child in enumerate(parent):
            if child.tag == "component" and child.get("name") == ioc.get("name"):
                parent[index] = ioc
                return _xml(tree)
    tree.append(ioc)
    return _xml(tree)


def _ioc(config: Config) -> ET.Element:
    parent = ET.Element("config")
    ioc = _component(parent, config.source.stem)
    titles = {detector.prefix: detector.title or detector.prefix for detector in config.detector}
    uses = Counter(map(_level, titles.values()))
    for prefix, title in titles.items():
        name = title if uses[_level(title)] == 1 else f"{title} {prefix}"  # Phoebus refuses a file with a name twice
        _add_alarms(_component(ioc, name), title, prefix, DETECTOR_PVS)
    _add_alarms(ioc, config.source.stem, config.ioc.prefix, IOC_PVS)
    return ioc


def _xml(element: ET.Element) -> str:
    ET.indent(element)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(element, encoding="unicode")}\n'


def _component(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, "component", name=_level(name))


def _level(name: str) -> str:
    return name.replace("/", " ")  # a slash separates the levels of the tree


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
