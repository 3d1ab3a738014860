"""What areaDetector needs to write the geometry into each file: NDAttributes, and a layout of NeXus. Pure.

The layout has the place of each attribute in a NeXus file: the chain of transformations as ``write_nexus`` of the
client has it, with one value for each frame. The HDF5 plugin makes one dataset of each attribute.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from ponikeeper.config import Config, Detector
from ponikeeper.geometry.nexus import CHAIN
from ponikeeper.protocol import frame_attributes as attributes
from ponikeeper.protocol.frame_attributes import ATTRIBUTES, VALUES, FrameAttribute

_DETECTOR = "/entry/instrument/detector"
_TRANSFORMATIONS = f"{_DETECTOR}/transformations"

_NEXUS_UNITS = {"px": "pixel"}
"""Units that NeXus spells in another way than the PV."""


def file_stems(config: Config) -> list[str]:
    """Return the beginning of the file names of each detector: its prefix in letters and digits.

    Parameters
    ----------
    config
        Configuration of the IOC.

    Returns
    -------
    list of str
        In the order of the detectors; all differ.
    """
    stems = [re.sub(r"[^A-Za-z0-9]+", "-", detector.prefix).strip("-") for detector in config.detector]
    doubled = {stem for stem in stems if stems.count(stem) > 1}
    return [f"{stem}-{number}" if stem in doubled else stem for number, stem in enumerate(stems, 1)]


def nd_attributes(detector: Detector) -> str:
    """Format the NDAttributes of a detector: what its areaDetector driver reads with each frame.

    Parameters
    ----------
    detector
        Its part of the configuration.

    Returns
    -------
    str
        XML for ``NDAttributesFile`` of the driver.
    """
    root = ET.Element("Attributes")
    root.append(ET.Comment(f" the geometry, kept by ponikeeper: {attributes.HEADER.name} has all of it "))
    for each in ATTRIBUTES:
        ET.SubElement(
            root, "Attribute", name=each.name, type="EPICS_PV", source=detector.prefix + each.pv.suffix,
            dbrtype=each.dbr_type, description=each.pv.desc,
        )  # fmt: skip
    return _xml(root)


def hdf5_layout(detector: Detector) -> str:
    """Format the layout of the HDF5 files of a detector, in which NeXus readers find the geometry.

    Parameters
    ----------
    detector
        Its part of the configuration.

    Returns
    -------
    str
        XML for ``XMLFileName`` of the HDF5 plugin.
    """
    root = ET.Element("hdf5_layout")
    entry = _group(root, "entry", "NXentry")
    _constant(entry, "default", "data")
    instrument = _group(entry, "instrument", "NXinstrument")
    beam = _group(instrument, "beam", "NXbeam")
    _dataset(beam, "incident_wavelength", VALUES["wavelength"])
    _dataset(beam, "incident_energy", attributes.ENERGY)
    _add_detector(_group(instrument, "detector", "NXdetector"), detector)
    others = _group(instrument, "NDAttributes", "NXcollection")
    others.set("ndattr_default", "true")
    data = _group(entry, "data", "NXdata")
    _constant(data, "signal", "data")
    ET.SubElement(data, "hardlink", name="data", target=f"{_DETECTOR}/data")
    return _xml(root)


def _add_detector(group: ET.Element, detector: Detector) -> None:
    ET.SubElement(group, "dataset", name="data", source="detector", det_default="true")
    _text(group, "local_name", detector.title or detector.prefix)
    _text(group, "depends_on", f"{_TRANSFORMATIONS}/{CHAIN[0].name}")
    for name, attribute in {
        "description": VALUES["detector"],
        "x_pixel_size": VALUES["pixel2"],
        "y_pixel_size": VALUES["pixel1"],
        "beam_center_x": attributes.BEAM_X,
        "beam_center_y": attributes.BEAM_Y,
        "distance": attributes.DIRECT_DIST,
    }.items():
        _dataset(group, name, attribute)
    chain = _group(group, "transformations", "NXtransformations")
    following = [*(f"{_TRANSFORMATIONS}/{step.name}" for step in CHAIN[1:]), "."]
    for step, after in zip(CHAIN, following, strict=True):
        axis = _dataset(chain, step.name, VALUES[step.name])
        _constant(axis, "transformation_type", step.kind)
        _constant(axis, "vector", ",".join(f"{number:g}" for number in step.vector), "float")
        _constant(axis, "depends_on", after)
    kept = _group(group, "ponikeeper", "NXcollection")
    for attribute in _elsewhere(group):
        _dataset(kept, attribute.name, attribute)


def _elsewhere(group: ET.Element) -> Iterable[FrameAttribute]:
    """Return the attributes that have no place of their own in NeXus."""
    placed = {dataset.get("ndattribute") for dataset in group.iter("dataset")}
    in_beam = {VALUES["wavelength"].name, attributes.ENERGY.name}
    return [each for each in ATTRIBUTES if each.name not in placed | in_beam]


def _group(parent: ET.Element, name: str, kind: str) -> ET.Element:
    group = ET.SubElement(parent, "group", name=name)
    _constant(group, "NX_class", kind)
    return group


def _dataset(group: ET.Element, name: str, attribute: FrameAttribute) -> ET.Element:
    dataset = ET.SubElement(group, "dataset", name=name, source="ndattribute", ndattribute=attribute.name)
    if attribute.pv.units:
        _constant(dataset, "units", _NEXUS_UNITS.get(attribute.pv.units, attribute.pv.units))
    return dataset


def _text(group: ET.Element, name: str, value: str) -> None:
    ET.SubElement(group, "dataset", name=name, source="constant", type="string", value=value)


def _constant(parent: ET.Element, name: str, value: str, kind: str = "string") -> None:
    ET.SubElement(parent, "attribute", name=name, source="constant", value=value, type=kind)


def _xml(element: ET.Element) -> str:
    ET.indent(element)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(element, encoding="unicode")}\n'
