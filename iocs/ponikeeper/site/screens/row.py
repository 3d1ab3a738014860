"""One line of the overview: a detector, its status, and a button that opens its screen."""

from ponikeeper.site.screens.overview import HEADS, ROW_HEIGHT, WIDTH
from ponikeeper.site.screens.sheet import DOT, Sheet

_COLUMNS = {
    "Label_RBV": "label",
    "Revision_RBV": "revision",
    "DirectDist_RBV": "distance",
    "Energy_RBV": "energy",
    "Since_RBV": "active since (local time)",
}
"""The PV of each column of the overview."""


def row() -> Sheet:
    """Draw the screen."""
    places = {head: (x, width) for head, x, width in HEADS}
    sheet = Sheet("$(DET)", "P", WIDTH, ROW_HEIGHT)
    x, width = places["detector"]
    sheet.opens("$(DET)", "ponikeeper_detector.bob", x, 14, width - DOT - 6)
    sheet.heartbeat(x + width - DOT, 21)
    x, width = places["status"]
    sheet.status(x, 14, width, ROW_HEIGHT - 30)
    for suffix, head in _COLUMNS.items():
        sheet.readback(suffix, places[head][0], 14, places[head][1])
    sheet.readback("Reason_RBV", places["reason"][0], 2, places["reason"][1], ROW_HEIGHT - 6)
    return sheet
