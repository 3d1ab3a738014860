"""One line of the overview: a detector, whether its geometry holds, and the way to its screen."""

from ponikeeper.screens import ROW_HEIGHT, WIDTH
from screens.sheet import Sheet


def row() -> Sheet:
    """Draw it."""
    sheet = Sheet("$(DET)", "P", WIDTH, ROW_HEIGHT)
    sheet.opens("$(DET)", "ponikeeper_detector.bob", 8, 4, 200)
    sheet.shown("Status_RBV", 216, 4, 130)
    sheet.shown("Label_RBV", 354, 4, 140)
    sheet.shown("Revision_RBV", 502, 4, 70)
    sheet.shown("DirectDist_RBV", 580, 4, 120)
    sheet.shown("Energy_RBV", 708, 4, 110)
    sheet.shown("Time_RBV", 826, 4, 190)
    sheet.shown("Reason_RBV", 1024, 4, 240)
    return sheet
