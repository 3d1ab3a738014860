"""The alarm tree for Phoebus."""

from xml.etree import ElementTree as ET

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from ponikeeper.site.alarm_tree import alarm_component, alarm_tree, usual_root, with_component

SITE = """<?xml version="1.0" encoding="UTF-8"?>
<config name="Accelerator">
  <component name="Vacuum"><pv name="ca://V1"><description>a &lt; b</description></pv></component>
  <component name="28-ID"><component name="28id1"><pv name="ca://old"/></component><pv name="ca://P"/></component>
  <!-- of the operators -->
</config>"""


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
        suffix = pv.get("name").rpartition("Calib:")[2]
        passes = {"Status_RBV": ("false", "60"), "Push:Status_RBV": ("false", "30")}
        assert (pv.findtext("latching"), pv.findtext("delay")) == passes.get(suffix, ("true", None))


def test_detectors_of_one_title_have_components_of_different_names(config):
    """Phoebus refuses a file with two components of one name and path, also where only a slash differs."""
    first, second = config.detector
    alike = [first.model_copy(update={"title": "a/b"}), second.model_copy(update={"title": "a b"})]
    (ioc,) = ET.fromstring(alarm_tree(config.model_copy(update={"detector": alike}), "Accelerator"))
    names = [component.get("name") for component in ioc.findall("component")]
    assert names == [f"a b {first.prefix.replace('/', ' ')}", f"a b {second.prefix}"]


def test_root_is_one_that_no_other_ioc_has_and_that_is_the_name_of_a_topic(config):
    assert usual_root(config) == "ponikeeper-28id1"
    with pytest.raises(ConfigError, match=r"--root my/tree cannot be .* such as ponikeeper-28id1"):
        alarm_tree(config, "my/tree")


def test_component_replaces_the_one_in_the_tree_of_the_site_and_nothing_else(config):
    ioc = ET.fromstring(alarm_component(config))
    assert (ioc.tag, ioc.get("name")) == ("component", "28id1")
    merged = ET.fromstring(with_component(SITE, config))
    assert [child.get("name") for child in merged] == ["Vacuum", "28-ID"]
    assert merged.findtext("component/pv/description") == "a < b"
    names = [pv.get("name") for pv in merged.iter("pv")]
    assert names == ["ca://V1", *(pv.get("name") for pv in ioc.iter("pv")), "ca://P"]
    assert "<!-- of the operators -->" in with_component(SITE, config)
    assert with_component(with_component(SITE, config), config) == with_component(SITE, config)


def test_component_is_added_to_a_tree_that_lacks_it(config):
    other = SITE.replace('"28id1"', '"28id2"')
    merged = ET.fromstring(with_component(other, config))
    assert [child.get("name") for child in merged] == ["Vacuum", "28-ID", "28id1"]


@pytest.mark.parametrize("text", ["", "<config", "<component name='x'/>"])
def test_text_that_is_no_tree_is_refused(config, text):
    with pytest.raises(ConfigError, match="expected an alarm tree as alarm-server -export writes it"):
        with_component(text, config)
