"""The screen of one detector: status, active geometry in SI units and in the Fit2D convention, provenance."""

from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol.label_buttons import COUNT
from ponikeeper.protocol.pvs import readback, staged
from ponikeeper.site.screens.sheet import ROW, WIDTH, Sheet

_EXPONENTIAL = ("wavelength", "pixel1", "pixel2")
"""Values in m that would be zeros with a few decimals."""

_FIT2D = (
    ("Energy_RBV", "energy"),
    ("WavelengthA_RBV", "wavelength"),
    ("DirectDist_RBV", "distance"),
    ("BeamX_RBV", "beam centre x"),
    ("BeamY_RBV", "beam centre y"),
    ("Tilt_RBV", "tilt"),
    ("TiltPlane_RBV", "tilt plane"),
)

_PROVENANCE = (
    ("method / calibrant", 140, ("Method_RBV", "Calibrant_RBV")),
    ("residual / accuracy", 140, ("Residual_RBV", "Accuracy_RBV")),
    ("points / rings", 140, ("NPoints_RBV", "NRings_RBV")),
    ("author (unverified)", 323, ()),
    ("", 0, ("Author_RBV",)),
    ("run", 50, ("RunUid_RBV",)),
)
"""Label, its width (px) and PVs of each row; a run's uid and a user with the host name are long."""

_ACTIVE = (
    ("label", ("Label_RBV",)),
    ("revision / activation", ("Revision_RBV", "Serial_RBV")),
    ("since (local time)", ("Since_RBV",)),
    ("since (UTC)", ("Time_RBV",)),
    ("detector", ("Detector_RBV",)),
)
"""Title and PVs of each row."""

_APPLY = (
    "This commits the edited values of $(DET) as a new revision and activates it at once, for everyone who records "
    "data now. Values without an edit stay as they are."
)
_RECORD = (
    "This records that the active geometry of $(DET) was calibrated where the links are now, and clears the alarm. "
    "Nothing is measured: do it only if you know that the geometry is right here."
)
_UNDO = (
    "This activates again what was active for $(DET) before the last change by a person or a program. "
    "Nothing is deleted."
)

_BUTTONS_PER_ROW = 3


def detector() -> Sheet:
    """Draw the screen."""
    sheet = Sheet("$(DET): geometry", "P")
    sheet.header("$(DET)")
    sheet.heartbeat(WIDTH - 330, 16)
    sheet.opens("History", "ponikeeper_history.bob", WIDTH - 300, 9, 140)
    sheet.opens("IOC", "ponikeeper_ioc.bob", WIDTH - 150, 9, 140)
    _status(sheet, 16, 56, WIDTH - 32)
    _active(sheet, 16, 150, 410)
    _activate(sheet, 16, 348, 410)
    _geometry(sheet, 446, 150, 470)
    _links(sheet, 446, 560, 470)
    _fit2d(sheet, 936, 150, 328)
    _provenance(sheet, 936, 404, 328)
    _bottom(sheet, 16, 664, WIDTH - 32)
    return sheet


def _status(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.status(x, y, 220, 84, large=True)
    for number, (suffix, text) in enumerate((("Reason_RBV", "reason"), ("Advice_RBV", "what to do"))):
        top = y + number * 43 - 2
        sheet.text(text, x + 236, top, 84)
        sheet.readback(suffix, x + 324, top, width - 324, 40)


def _active(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Active revision", x, y, width)
    for number, (text, suffixes) in enumerate(_ACTIVE, 1):
        top = y + number * (ROW + 4) + 6
        sheet.text(text, x, top, 150)
        room = (width - 155) // len(suffixes)
        for place, suffix in enumerate(suffixes):
            sheet.readback(suffix, x + 155 + place * room, top, room - 5 * (place < len(suffixes) - 1))


def _activate(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Activate another revision", x, y, width)
    top = y + ROW + 10
    room = (width + 10) // _BUTTONS_PER_ROW
    for number in range(COUNT):
        row, column = divmod(number, _BUTTONS_PER_ROW)
        sheet.label_button(number + 1, x + column * room, top + row * (ROW + 6), room - 10)
    top += -(-COUNT // _BUTTONS_PER_ROW) * (ROW + 6)
    sheet.text("revision or label", x, top, 130)
    sheet.entry("Activate", x + 135, top, width - 135)
    sheet.table("Labels:Table_RBV", x, top + ROW + 6, width, 124)
    sheet.put("Undo the last change", "Undo", 1, x, top + ROW + 138, 200, _UNDO)


def _geometry(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Active geometry (SI) and edit", x, y, width)
    for number, (name, parameter) in enumerate(PARAMETERS.items(), 1):
        top = y + number * (ROW + 4) + 6
        form = "Exponential" if name in _EXPONENTIAL else "Decimal"
        sheet.text(f"{name} ({parameter.unit})", x, top, 130)
        sheet.readback(readback(name), x + 135, top, 165, form=form, units=False)
        sheet.entry(staged(name), x + 305, top, 165, form=form)
    top = y + (len(PARAMETERS) + 1) * (ROW + 4) + 6
    sheet.text("detector", x, top, 130)
    sheet.readback(readback("detector"), x + 135, top, 165)
    sheet.entry(staged("detector"), x + 305, top, 165)
    top += ROW + 8
    sheet.readback("Stage:Dirty_RBV", x + 135, top, 165)
    sheet.put("Apply", "Stage:Apply", 1, x + 305, top, 80, _APPLY)
    sheet.put("Clear", "Stage:Clear", 1, x + 390, top, 80)


def _fit2d(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Fit2D convention", x, y, width)
    for number, (suffix, text) in enumerate(_FIT2D, 1):
        sheet.text(text, x, y + number * (ROW + 4) + 6, 170)
        sheet.readback(suffix, x + 175, y + number * (ROW + 4) + 6, width - 175)


def _provenance(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Provenance", x, y, width)
    for number, (text, label_width, suffixes) in enumerate(_PROVENANCE, 1):
        top = y + number * (ROW + 4) + 6
        left = x
        if text:
            sheet.text(text, x, top, label_width)
            left += label_width + 5
        for place, suffix in enumerate(suffixes):
            room = (x + width - left) // len(suffixes)
            sheet.readback(suffix, left + place * room, top, room - 5 * (place < len(suffixes) - 1))
    top = y + (len(_PROVENANCE) + 1) * (ROW + 4) + 8
    sheet.readback("Comment_RBV", x, top, width, 36)


def _links(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Where it was calibrated", x, y, width)
    top = y + ROW + 10
    sheet.text("follow the links", x, top, 120)
    sheet.readback("Follow_RBV", x + 135, top, 60)
    sheet.put("On", "Follow", 1, x + 205, top, 55)
    sheet.put("Off", "Follow", 0, x + 265, top, 55)
    sheet.put("Record position", "RecordPosition", 1, x + 330, top, 140, _RECORD)
    sheet.text("model", x, top + ROW + 6, 50)
    sheet.readback("ModelRange_RBV", x + 55, top + ROW + 6, width - 55)


def _bottom(sheet: Sheet, x: int, y: int, width: int) -> None:
    left = 840
    sheet.section("Linked PVs", x, y, left)
    sheet.table("Links:Table_RBV", x, y + ROW + 8, left, 118)
    top = y + ROW + 132
    sheet.text("out of service, such as z: being repaired", x, top, 330)
    sheet.entry("OutOfService", x + 335, top, 270)
    sheet.text("in service again", x + 625, top, 115)
    sheet.entry("InService", x + 745, top, 95)
    x, width = x + left + 20, width - left - 20
    sheet.section("Last message", x, y, width)
    sheet.readback("Message_RBV", x, y + ROW + 6, width, 84)
    sheet.text("at the detector", x, y + ROW + 98, 105)
    sheet.readback("Push:Status_RBV", x + 110, y + ROW + 98, 65)
    sheet.readback("Push:Message_RBV", x + 180, y + ROW + 98, width - 180)
    top = y + ROW + 132
    sheet.text("requests accepted / rejected", x, top, 200)
    sheet.readback("Accepted_RBV", x + 205, top, 85)
    sheet.readback("Rejected_RBV", x + 295, top, width - 295)
