"""Every PV on the screens exists on a live IOC when the macros are expanded."""

import re
from xml.etree import ElementTree as ET

import pytest

import speak
from ponikeeper.site.screens.phoebus import FOLDER

COMMITTED = sorted(FOLDER.glob("*.bob"))


def names_on(path, macros):
    """Return the PVs of a screen and of the screens that it embeds, with their macros expanded."""
    display = ET.fromstring(path.read_bytes().replace(b"\n  <display", b"\n<display"))
    found = {element.text for element in display.iter("pv_name") if element.text}
    names = {re.sub(r"\$\((\w+)\)", lambda match: macros[match[1]], name) for name in found}
    for row in (widget for widget in display.iter("widget") if widget.get("type") == "embedded"):
        inner = {
            each.tag: re.sub(r"\$\((\w+)\)", lambda match: macros[match[1]], each.text) for each in row.find("macros")
        }
        names |= names_on(path.parent / row.findtext("file"), macros | inner)
    return names


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_every_pv_answers(path, ioc):
    one, other = ioc.prefixes
    macros = {"P": one, "DET": "PE1", "IOC": f"{ioc.name}{{IOC}}", "P1": one, "DET1": "PE1", "P2": other, "DET2": "PE2"}
    names = sorted(names_on(path, macros))
    assert len(names) >= 6
    assert all("$" not in name for name in names)
    assert len(speak.read(names)) == len(names)
