"""Each attribute of a frame is read as areaDetector must read it, and has one place in the layout."""

from xml.etree import ElementTree as ET

from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.frame_attributes import ATTRIBUTES
from ponikeeper.protocol.pvs import DETECTOR_PVS, Kind, readback
from ponikeeper.site.areadetector import file_stems, hdf5_layout, nd_attributes


def attributes(config):
    return ET.fromstring(nd_attributes(config.detector[0])).findall("Attribute")


def test_attributes_are_pvs_of_the_detector_and_have_the_whole_geometry(config):
    prefix = config.detector[0].prefix
    sources = [attribute.get("source") for attribute in attributes(config)]
    names = [attribute.get("name").lower() for attribute in attributes(config)]
    assert len(set(names)) == len(names), "areaDetector ignores case"
    assert set(sources) <= {prefix + pv.suffix for pv in DETECTOR_PVS if not pv.writable}
    wanted = {"Header_RBV", "Alive_RBV", "Revision_RBV", "Serial_RBV", "Status_RBV", "Energy_RBV", "BeamX_RBV"}
    assert set(sources) >= {prefix + suffix for suffix in wanted | {readback(name) for name in NAMES}}


def test_texts_and_enums_are_read_as_strings(config):
    kinds = {config.detector[0].prefix + pv.suffix: pv.kind for pv in DETECTOR_PVS}
    for attribute in attributes(config):
        is_text = kinds[attribute.get("source")] in (Kind.TEXT, Kind.STRING, Kind.ENUM)
        assert (attribute.get("dbrtype") == "DBR_STRING") == is_text, attribute.get("name")


def test_layout_has_one_place_for_each_attribute(config):
    layout = ET.fromstring(hdf5_layout(config.detector[0]))
    placed = [dataset.get("ndattribute") for dataset in layout.iter("dataset") if dataset.get("ndattribute")]
    assert sorted(placed) == sorted(attribute.name for attribute in ATTRIBUTES)


def test_chain_of_the_layout_leads_from_the_detector_to_the_laboratory(config):
    layout = ET.fromstring(hdf5_layout(config.detector[0]))
    parents = {child: parent for parent in layout.iter() for child in parent}

    def path(element):
        return "" if element is layout else f"{path(parents[element])}/{element.get('name')}"

    datasets = {path(dataset): dataset for dataset in layout.iter("dataset")}
    next_path, seen = datasets["/entry/instrument/detector/depends_on"].get("value"), []
    while next_path != ".":
        constants = {each.get("name"): each.get("value") for each in datasets[next_path].findall("attribute")}
        seen.append(datasets[next_path].get("name"))
        assert constants["transformation_type"] == ("rotation" if constants["units"] == "rad" else "translation")
        next_path = constants["depends_on"]
    assert seen == ["poni1", "poni2", "dist", "rot1", "rot2", "rot3"]


def test_names_of_files_differ_where_prefixes_differ_only_in_punctuation(config):
    first = config.detector[0]
    detectors = tuple(first.model_copy(update={"prefix": prefix}) for prefix in ("A:{B}", "A-B:", "C:"))
    assert file_stems(config) == ["XF-28ID1-ES-Det-PE1-Calib", "XF-28ID1-ES-Det-PE2-Calib"]
    assert file_stems(config.model_copy(update={"detector": detectors})) == ["A-B-1", "A-B-2", "C"]
