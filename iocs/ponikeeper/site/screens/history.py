"""The screen of a detector's history: a list, one of it beside what is in force, and the way back to it."""

from ponikeeper.site.screens.sheet import ROW, WIDTH, Sheet


def history() -> Sheet:
    """Draw it."""
    sheet = Sheet("$(DET): history", "P")
    sheet.header("$(DET): history")
    sheet.opens("Geometry", "ponikeeper_detector.bob", WIDTH - 150, 9, 140)
    sheet.section("Revisions (> selected, * in force)", 16, 56, WIDTH - 32)
    sheet.table("History:Table_RBV", 16, 90, WIDTH - 32, 350)
    top = 450
    sheet.text("revision to look at (0: the one in force)", 16, top, 290)
    sheet.entry("History:Select", 310, top, 90)
    sheet.text("of", 410, top, 25)
    sheet.shown("History:Count_RBV", 435, top, 80)
    sheet.put(
        "Put the selected one in force", "History:Activate", 1, 560, top, 240,
        "Put the selected revision of $(DET) in force again?",
    )  # fmt: skip
    sheet.shown("Status_RBV", 830, top, 200)
    sheet.shown("Label_RBV", 1040, top, 224)
    sheet.section("The selected one beside the one in force", 16, top + ROW + 6, 760)
    sheet.table("History:Compare_RBV", 16, top + 2 * ROW + 14, 760, 276)
    sheet.section("What was said last", 796, top + ROW + 6, 468)
    sheet.shown("Message_RBV", 796, top + 2 * ROW + 14, 468, 276)
    return sheet
