"""The screens for Phoebus are those generated from the contract, fit the window, and use named colours."""

import re
from xml.etree import ElementTree as ET

import pytest

from ponikeeper.protocol.label_buttons import COUNT
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, label_button
from ponikeeper.protocol.status import Status
from ponikeeper.site.screens.overview import ROW_HEIGHT, overview
from ponikeeper.site.screens.phoebus import FOLDER, write
from ponikeeper.site.screens.sheet import HEIGHT, WIDTH, YELLOW, Sheet

LETTER = 7.5
"""Width of a letter of the default font, as Phoebus draws it (px)."""

LABEL_LETTER = 6.7
"""Mean width of a letter of fixed texts (px)."""

LONG = {
    "RunUid_RBV": "5f0c83a2-1b6e-4c1d-9a3c-77d2a0b3c911",
    "Time_RBV": "2026-11-23T17:36:13.279865Z",
    "Author_RBV": "alice@xf28id1-ws3.nsls2.bnl.gov",
    "Status_RBV": "RETRACTED",
}
"""Typical values, for their lengths."""

COMMITTED = sorted(FOLDER.glob("*.bob"))


def root(path):
    return ET.fromstring(path.read_bytes().replace(b"\n  <display", b"\n<display"))


def number(widget, tag):
    return int(widget.findtext(tag))


def canonical(path):
    """Return the XML as canonical text: how a quotation mark is written depends on the version of Python."""
    return ET.canonicalize(ET.tostring(root(path)))


def test_committed_screens_are_those_that_are_made(tmp_path):
    write(tmp_path)
    made = {path.name: canonical(path) for path in tmp_path.iterdir()}
    assert {path.name: canonical(path) for path in COMMITTED} == made


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_nothing_is_cut_off(path):
    display = root(path)
    assert number(display, "width") <= WIDTH
    assert number(display, "height") <= HEIGHT
    for widget in display.iter("widget"):
        assert number(widget, "x") + number(widget, "width") <= number(display, "width"), widget.findtext("name")
        assert number(widget, "y") + number(widget, "height") <= number(display, "height"), widget.findtext("name")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_long_values_have_room(path):
    for widget in root(path).iter("widget"):
        value = LONG.get((widget.findtext("pv_name") or "").removeprefix("$(P)"), "")
        if widget.get("type") == "textupdate":
            assert number(widget, "width") >= LETTER * len(value), widget.findtext("name")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_labels_have_room_for_their_texts(path):
    for widget in root(path).iter("widget"):
        text = widget.findtext("text") or ""
        if widget.get("type") in ("label", "action_button") and "$(" not in text:
            assert number(widget, "width") >= LABEL_LETTER * len(text), text


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_no_widget_lies_on_another(path):
    """Only the bar behind the title has a widget on it."""
    boxes = [
        (widget.findtext("name"), *(number(widget, tag) for tag in ("x", "y", "width", "height")))
        for widget in root(path).iter("widget")
        if not widget.findtext("name").startswith("bar")
    ]
    for place, (name, x, y, width, height) in enumerate(boxes):
        for other, left, top, wide, high in boxes[place + 1 :]:
            apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
            assert apart, f"{name} and {other}"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_colours_and_fonts_are_named(path):
    unnamed = [color for color in root(path).iter("color") if not color.get("name")]
    assert {tuple(int(color.get(part)) for part in ("red", "green", "blue")) for color in unnamed} <= {YELLOW}
    fonts = {font.get("name") or font.get("family") for font in root(path).findall(".//font/font")}
    assert fonts <= {"Default", "Default Bold", "Header 1", "Header 3", "Liberation Mono"}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_screens_open_screens_that_lie_beside_them(path):
    files = {element.text for element in root(path).iter("file")}
    assert {file for file in files if not (FOLDER / file).exists()} == set()


def test_every_widget_that_changes_the_geometry_asks_for_confirmation():
    puts = [
        (widget, widget.findtext(".//action/pv_name"))
        for path in COMMITTED
        for widget in root(path).iter("widget")
        if widget.get("type") == "action_button" and widget.findtext(".//action/pv_name")
    ]
    names = {name for widget, name in puts if widget.findtext("show_confirm_dialog") == "true"}
    assert names == {"$(P)Labels:Activate", "$(P)RecordPosition", "$(P)Undo", "$(P)Stage:Apply", "$(P)History:Activate"}
    assert {name for _, name in puts} - names == {"$(P)Stage:Clear", "$(P)Follow"}


def test_status_has_the_colour_of_what_it_means():
    """Green applies, grey is not checked, yellow may soon apply, and red does not apply."""
    (status,) = (
        widget
        for widget in root(FOLDER / "ponikeeper_detector.bob").iter("widget")
        if widget.findtext("pv_name") == "$(P)Status_RBV"
    )
    colors = {rule.get("bool_exp"): rule.find("value/color") for rule in status.find("rules/rule")}
    colors = {name: (color.get("name"), int(color.get("red"))) for name, color in colors.items() if color is not None}
    assert colors.pop(f"pvInt0 == {Status.VALID}") == ("OK", 0)
    assert colors.pop(f"pvInt0 == {Status.UNWATCHED}") == ("Button_Background", 210)
    assert colors == {f"pvInt0 == {status}": (None, 255) for status in (Status.MOVING, Status.UNCERTAIN)}
    assert status.find("background_color/color").get("name") == "MAJOR"


@pytest.mark.parametrize("name", ["ponikeeper_row.bob", "ponikeeper_detector.bob"])
def test_dot_changes_its_colour_at_each_update_of_the_time_of_the_ioc(name):
    """So that an IOC that hangs behind a gateway, whose values stay connected, is seen at once."""
    (rule,) = (each for each in root(FOLDER / name).iter("rule") if each.findtext("pv_name") == "$(P)Alive_RBV")
    (expression,) = rule.findall("exp")
    condition = expression.get("bool_exp").replace("pv0", "time")
    states = [eval(condition, {"time": 1_790_000_000.02 + 1.0003 * second}) for second in range(8)]
    assert states == [False, True] * 4
    assert (rule.get("prop_id"), expression.find("value/color").get("name")) == ("background_color", "OK")


def test_each_label_button_shows_the_label_that_it_activates():
    buttons = [
        widget
        for widget in root(FOLDER / "ponikeeper_detector.bob").iter("widget")
        if widget.findtext(".//action/pv_name") == "$(P)Labels:Activate"
    ]
    assert [widget.findtext(".//action/value") for widget in buttons] == [str(number) for number in range(1, COUNT + 1)]
    for number, widget in enumerate(buttons, 1):
        rules = {rule.get("prop_id"): rule for rule in widget.iter("rule")}
        assert {rule.findtext("pv_name") for rule in rules.values()} == {f"$(P){label_button(number)}"}
        assert rules["text"].findtext("exp/value") == "pvStr0"
        assert rules["visible"].find("exp").get("bool_exp") == 'pvStr0 == ""'
        assert "+ pvStr0 +" in rules["confirm_message"].findtext("exp/value")


def test_detector_screen_shows_the_important_pvs():
    there = set(re.findall(r"\$\(P\)([\w:]+)", (FOLDER / "ponikeeper_detector.bob").read_text()))
    needed = {pv.suffix for pv in DETECTOR_PVS if pv.parameter and pv.suffix.endswith("_RBV")} - {"DetectorConfig_RBV"}
    assert (
        needed
        | {
            "Status_RBV",
            "Reason_RBV",
            "Advice_RBV",
            "Since_RBV",
            "Message_RBV",
            "Stage:Apply",
            "Energy_RBV",
            "BeamX_RBV",
        }
        <= there
    )


def test_ioc_screen_shows_all_that_the_ioc_has():
    there = set(re.findall(r"\$\(IOC\)(\w[\w:]+)", (FOLDER / "ponikeeper_ioc.bob").read_text()))
    assert there == {pv.suffix for pv in IOC_PVS}


def test_pv_that_does_not_exist_is_on_no_screen():
    sheet = Sheet("x", "P")
    with pytest.raises(KeyError):
        sheet.readback("Distance_RBV", 0, 0, 100)
    with pytest.raises(AssertionError):
        sheet.put("Go", "Dist_RBV", 1, 0, 0, 100)


def test_overview_embeds_a_line_for_each_detector():
    text = overview("28id1 <test>", "I:", [("A{1}:", "One & only"), ("B:", "Two")])
    display = ET.fromstring(text)
    rows = [widget for widget in display.iter("widget") if widget.get("type") == "embedded"]
    assert [(row.findtext("macros/P"), row.findtext("macros/DET")) for row in rows] == [
        ("A{1}:", "One & only"),
        ("B:", "Two"),
    ]
    assert number(rows[1], "y") - number(rows[0], "y") == ROW_HEIGHT
    assert display.findtext("macros/IOC") == "I:"
