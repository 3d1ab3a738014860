"""One line of the overview: a detector, whether its geometry holds, and the way to its screen."""

from ponikeeper.site.screens.overview import HEADS, ROW_HEIGHT, WIDTH
from ponikeeper.site.screens.sheet import Sheet

_SHOWN = {
    "Status_RBV": "status",
    "Label_RBV": "label",
    "Revision_RBV": "revision",
    "DirectDist_RBV": "distance",
    "Energy_RBV": "energy",
    "Time_RBV": "in force since (UTC)",
}
"""What stands under each head of the overview."""


def row() -> Sheet:
    """Draw it."""
    places = {head: (x, width) for head, x, width in HEADS}
    sheet = Sheet("$(DET)", "P", WIDTH, ROW_HEIGHT)
    x, width = places["detector"]
    sheet.opens("$(DET)", "ponikeeper_detector.bob", x, 14, width)
    for suffix, head in _SHOWN.items():
        sheet.shown(suffix, places[head][0], 14, places[head][1])
    sheet.shown("Reason_RBV", places["why"][0], 2, places["why"][1], ROW_HEIGHT - 6)
    return sheet
