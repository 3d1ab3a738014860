"""The screen of one detector: what is in force, whether it holds, the geometry in SI and as Fit2D says it."""

from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol.pvs import readback, staged
from ponikeeper.site.screens.sheet import ROW, WIDTH, Sheet

_EXPONENTIAL = ("wavelength", "pixel1", "pixel2")
"""Values in m that would be zeros with a few decimals."""

_HUMAN = (
    ("Energy_RBV", "energy"),
    ("WavelengthA_RBV", "wavelength"),
    ("DirectDist_RBV", "distance"),
    ("BeamX_RBV", "beam centre x"),
    ("BeamY_RBV", "beam centre y"),
    ("Tilt_RBV", "tilt"),
    ("TiltPlane_RBV", "plane of the tilt"),
)

_PROVENANCE = (
    ("Method_RBV", "method", 125),
    ("Calibrant_RBV", "calibrant", 125),
    ("Residual_RBV", "residual", 125),
    ("NPoints_RBV", "control points", 125),
    ("NRings_RBV", "rings", 125),
    ("Author_RBV", "by (a claim)", 85),
    ("RunUid_RBV", "image", 50),
)
"""What is shown, its label, and the room that this needs (px): a run's uid and a user with his host are long."""

_IN_FORCE = "Put another geometry in force on $(DET)?"


def detector() -> Sheet:
    """Draw it."""
    sheet = Sheet("$(DET): geometry", "P")
    sheet.header("$(DET)")
    sheet.opens("History", "ponikeeper_history.bob", WIDTH - 300, 9, 140)
    sheet.opens("IOC", "ponikeeper_ioc.bob", WIDTH - 150, 9, 140)
    _standing(sheet, 16, 56, 410)
    _geometry(sheet, 446, 56, 470)
    _human(sheet, 936, 56, 328)
    _provenance(sheet, 936, 306, 328)
    _actions(sheet, 446, 446, 470)
    _last_word(sheet, 16, 636, WIDTH - 32)
    return sheet


def _standing(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Does it hold?", x, y, width)
    rows = (
        ("Status_RBV", "status"),
        ("Label_RBV", "label"),
        ("Revision_RBV", "revision"),
        ("Serial_RBV", "activation"),
        ("Time_RBV", "in force since (UTC)"),
        ("Detector_RBV", "detector"),
    )
    for number, (suffix, text) in enumerate(rows, 1):
        sheet.text(text, x, y + number * (ROW + 4) + 6, 160)
        sheet.shown(suffix, x + 165, y + number * (ROW + 4) + 6, width - 165)
    top = y + 7 * (ROW + 4) + 8
    sheet.text("why", x, top, 160)
    sheet.shown("Reason_RBV", x, top + ROW, width, 110)
    sheet.text("the PVs it depends on", x, top + 142, width)
    sheet.table("Links:Table_RBV", x, top + 142 + ROW, width, 150)


def _geometry(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Geometry in force (SI), and an edit of it", x, y, width)
    for number, (name, parameter) in enumerate(PARAMETERS.items(), 1):
        top = y + number * (ROW + 4) + 6
        form = "Exponential" if name in _EXPONENTIAL else "Decimal"
        sheet.text(f"{name} ({parameter.unit})", x, top, 130)
        sheet.shown(readback(name), x + 135, top, 165, form=form, units=False)
        sheet.entry(staged(name), x + 305, top, 165, form=form)
    top = y + (len(PARAMETERS) + 1) * (ROW + 4) + 6
    sheet.text("detector", x, top, 130)
    sheet.shown(readback("detector"), x + 135, top, 165)
    sheet.entry(staged("detector"), x + 305, top, 165)
    top += ROW + 8
    sheet.shown("Stage:Dirty_RBV", x + 135, top, 165)
    sheet.put("Apply", "Stage:Apply", 1, x + 305, top, 80, "Commit the edited values of $(DET), all as one geometry?")
    sheet.put("Clear", "Stage:Clear", 1, x + 390, top, 80)


def _human(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("The same, as Fit2D says it", x, y, width)
    for number, (suffix, text) in enumerate(_HUMAN, 1):
        sheet.text(text, x, y + number * (ROW + 4) + 6, 170)
        sheet.shown(suffix, x + 175, y + number * (ROW + 4) + 6, width - 175)


def _provenance(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Where it comes from", x, y, width)
    for number, (suffix, text, room) in enumerate(_PROVENANCE, 1):
        sheet.text(text, x, y + number * (ROW + 4) + 6, room)
        sheet.shown(suffix, x + room + 5, y + number * (ROW + 4) + 6, width - room - 5)
    top = y + (len(_PROVENANCE) + 1) * (ROW + 4) + 8
    sheet.shown("Comment_RBV", x, top, width, 72)


def _actions(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Put in force", x, y, width)
    top = y + ROW + 10
    sheet.put("near", "Activate", "near", x, top, 80, _IN_FORCE)
    sheet.put("far", "Activate", "far", x + 90, top, 80, _IN_FORCE)
    sheet.text("revision or label", x + 190, top, 120)
    sheet.entry("Activate", x + 315, top, 155)
    sheet.section("When the detector moves", x, y + 76, width)
    top = y + 76 + ROW + 10
    sheet.text("follow the links", x, top, 120)
    sheet.shown("Follow_RBV", x + 125, top, 60)
    sheet.put("On", "Follow", 1, x + 190, top, 55)
    sheet.put("Off", "Follow", 0, x + 250, top, 55)
    sheet.put("It holds here", "Here", 1, x + 335, top, 135, "Does the geometry in force hold where $(DET) is now?")
    sheet.text("puts taken, not", x, top + ROW + 8, 125)
    sheet.shown("Accepted_RBV", x + 125, top + ROW + 8, 85)
    sheet.shown("Rejected_RBV", x + 215, top + ROW + 8, 85)


def _last_word(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("What was said last", x, y, width)
    sheet.shown("Message_RBV", x, y + ROW + 6, width, 100)
