"""The screen of one detector: status, active geometry in SI units and in the Fit2D convention, provenance."""

from ponikeeper.geometry.parameters import PARAMETERS
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
    ("method", 125, ("Method_RBV",)),
    ("calibrant", 125, ("Calibrant_RBV",)),
    ("residual", 125, ("Residual_RBV",)),
    ("points / rings", 125, ("NPoints_RBV", "NRings_RBV")),
    ("author (unverified)", 323, ()),
    ("", 0, ("Author_RBV",)),
    ("run", 50, ("RunUid_RBV",)),
)
"""Label, its width (px) and PVs of each row; a run's uid and a user with the host name are long."""

_ACTIVATE = "Activate another geometry for $(DET)?"


def detector() -> Sheet:
    """Draw the screen."""
    sheet = Sheet("$(DET): geometry", "P")
    sheet.header("$(DET)")
    sheet.opens("History", "ponikeeper_history.bob", WIDTH - 300, 9, 140)
    sheet.opens("IOC", "ponikeeper_ioc.bob", WIDTH - 150, 9, 140)
    _status(sheet, 16, 56, 410)
    _geometry(sheet, 446, 56, 470)
    _fit2d(sheet, 936, 56, 328)
    _provenance(sheet, 936, 306, 328)
    _actions(sheet, 446, 446, 470)
    _message(sheet, 16, 636, WIDTH - 32)
    return sheet


def _status(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Calibration status", x, y, width)
    rows = (
        ("Status_RBV", "status"),
        ("Label_RBV", "label"),
        ("Revision_RBV", "revision"),
        ("Serial_RBV", "activation"),
        ("Time_RBV", "active since (UTC)"),
        ("Detector_RBV", "detector"),
    )
    for number, (suffix, text) in enumerate(rows, 1):
        sheet.text(text, x, y + number * (ROW + 4) + 6, 160)
        sheet.readback(suffix, x + 165, y + number * (ROW + 4) + 6, width - 165)
    top = y + 7 * (ROW + 4) + 8
    sheet.text("reason", x, top, 160)
    sheet.readback("Reason_RBV", x, top + ROW, width, 110)
    sheet.text("linked PVs", x, top + 142, width)
    sheet.table("Links:Table_RBV", x, top + 142 + ROW, width, 150)


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
    sheet.put("Apply", "Stage:Apply", 1, x + 305, top, 80, "Commit all edited values of $(DET) as one geometry?")
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
    sheet.readback("Comment_RBV", x, top, width, 72)


def _actions(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Activate", x, y, width)
    top = y + ROW + 10
    sheet.put("near", "Activate", "near", x, top, 80, _ACTIVATE)
    sheet.put("far", "Activate", "far", x + 90, top, 80, _ACTIVATE)
    sheet.text("revision or label", x + 190, top, 120)
    sheet.entry("Activate", x + 315, top, 155)
    sheet.section("Links", x, y + 76, width)
    top = y + 76 + ROW + 10
    sheet.text("follow the links", x, top, 120)
    sheet.readback("Follow_RBV", x + 125, top, 60)
    sheet.put("On", "Follow", 1, x + 190, top, 55)
    sheet.put("Off", "Follow", 0, x + 250, top, 55)
    sheet.put(
        "Record position",
        "RecordPosition",
        1,
        x + 335,
        top,
        135,
        "The active geometry of $(DET) was calibrated where the links are now? This clears the alarm.",
    )
    sheet.text("requests accepted / rejected", x, top + ROW + 8, 190)
    sheet.readback("Accepted_RBV", x + 195, top + ROW + 8, 85)
    sheet.readback("Rejected_RBV", x + 285, top + ROW + 8, 85)


def _message(sheet: Sheet, x: int, y: int, width: int) -> None:
    sheet.section("Last message", x, y, width)
    sheet.readback("Message_RBV", x, y + ROW + 6, width, 100)
