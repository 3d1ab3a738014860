"""The overview of a beamline's detectors, written for a configuration; the other screens are the same for all. Pure."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

WIDTH, ROW_HEIGHT = 1280, 56
"""Size of one line of the overview (px)."""

EXAMPLE = "ponikeeper_overview.bob"
"""Overview of two detectors among the other screens; prefixes and titles are macros."""

_TOP = 92
HEADS = (
    ("detector", 8, 180), ("status", 196, 110), ("label", 314, 110), ("revision", 432, 64),
    ("distance", 504, 110), ("energy", 622, 104), ("active since (local time)", 734, 226), ("reason", 968, 304),
)  # fmt: skip
"""Title, position and width of each column (px)."""

_COLORS = {"Background": (255, 255, 255), "Header_Background": (77, 77, 77), "Header_ForeGround": (255, 255, 255)}
_FONTS = {"Header 1": ("BOLD", 22), "Default Bold": ("BOLD", 14)}
"""Phoebus uses the names; other programs that show its screens use the values, which are those of Phoebus."""


def overview(title: str, ioc: str, detectors: Sequence[tuple[str, str]]) -> str:
    """Format the overview as a Phoebus display, which embeds a line for each detector.

    Parameters
    ----------
    title
        Title of the display.
    ioc
        PV prefix of the IOC.
    detectors
        Prefix and title of each.

    Returns
    -------
    str
        XML.
    """
    display = ET.Element("display", version="2.0.0")
    _texts(display, name=title, width=WIDTH, height=_TOP + max(1, len(detectors)) * ROW_HEIGHT + 8)
    _texts(ET.SubElement(display, "macros"), IOC=ioc)
    _color(display, "background_color", "Background")
    bar = _widget(display, "rectangle", 0, 0, WIDTH, 44, name="bar")
    _color(bar, "background_color", "Header_Background")
    _color(bar, "line_color", "Header_Background")
    head = _label(display, title, 16, 6, 900, 32, "Header 1")
    _color(head, "foreground_color", "Header_ForeGround")
    _button(display, "IOC", "ponikeeper_ioc.bob", WIDTH - 150, 9, 140)
    for text, x, width in HEADS:
        _label(display, text, x, 56, width, 26, "Default Bold")
    for number, (prefix, name) in enumerate(detectors):
        row = _widget(display, "embedded", 0, _TOP + number * ROW_HEIGHT, WIDTH, ROW_HEIGHT, name=name)
        _texts(ET.SubElement(row, "macros"), P=prefix, DET=name)
        _texts(row, file="ponikeeper_row.bob")
    ET.indent(display)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(display, encoding="unicode")}\n'


def _widget(parent: ET.Element, kind: str, x: int, y: int, width: int, height: int, **texts: str) -> ET.Element:
    widget = ET.SubElement(parent, "widget", type=kind, version="2.0.0")
    _texts(widget, **texts, x=x, y=y, width=width, height=height)
    return widget


def _label(parent: ET.Element, text: str, x: int, y: int, width: int, height: int, font: str) -> ET.Element:
    label = _widget(parent, "label", x, y, width, height, name=text, text=text)
    style, size = _FONTS[font]
    described = {"name": font, "family": "Liberation Sans", "style": style, "size": str(size)}
    ET.SubElement(ET.SubElement(label, "font"), "font", described)
    _texts(label, vertical_alignment=1)
    return label


def _button(parent: ET.Element, text: str, file: str, x: int, y: int, width: int) -> None:
    button = _widget(parent, "action_button", x, y, width, 26, name=text, text=text)
    action = ET.SubElement(ET.SubElement(button, "actions"), "action", type="open_display")
    _texts(action, description=text, file=file, target="tab")


def _color(widget: ET.Element, which: str, name: str) -> None:
    parts = dict(zip(("red", "green", "blue"), map(str, _COLORS[name]), strict=True))
    ET.SubElement(ET.SubElement(widget, which), "color", {"name": name, **parts, "alpha": "255"})


def _texts(parent: ET.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
