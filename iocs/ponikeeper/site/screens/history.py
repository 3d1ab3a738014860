"""The history screen of a detector: list of revisions, comparison with the active one, reactivation."""

from ponikeeper.site.screens.sheet import ACTIVATES, ROW, WIDTH, Sheet


def history() -> Sheet:
    """Draw the screen."""
    sheet = Sheet("$(DET): history", "P")
    sheet.header("$(DET): history")
    sheet.opens("Geometry", "ponikeeper_detector.bob", WIDTH - 150, 9, 140)
    sheet.section("Revisions (> selected, * active)", 16, 56, WIDTH - 32)
    sheet.table("History:Table_RBV", 16, 90, WIDTH - 32, 350)
    top = 450
    sheet.text("revision to show (0: the active one)", 16, top, 290)
    sheet.entry("History:Select", 310, top, 90)
    sheet.text("of", 410, top, 25)
    sheet.readback("History:Count_RBV", 435, top, 80)
    sheet.put(
        "Activate selected revision", "History:Activate", 1, 560, top, 240,
        ACTIVATES.format("the selected revision"),
    )  # fmt: skip
    sheet.status(830, top + 2, 200, ROW - 4)
    sheet.readback("Label_RBV", 1040, top, 224)
    sheet.section("Selected and active revision compared", 16, top + ROW + 6, 760)
    sheet.table("History:Compare_RBV", 16, top + 2 * ROW + 14, 760, 276)
    sheet.section("Last message", 796, top + ROW + 6, 468)
    sheet.readback("Message_RBV", 796, top + 2 * ROW + 14, 468, 276)
    return sheet
