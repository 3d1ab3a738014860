"""The alarm tree for Phoebus."""

from xml.etree import ElementTree as ET

from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from ponikeeper.site.alarm_tree import alarm_tree


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
