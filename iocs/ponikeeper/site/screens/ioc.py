"""The screen of an IOC: history store, access rules, put log and process statistics."""

from ponikeeper.protocol.pvs import IOC_PVS, PV, Kind
from ponikeeper.site.screens.sheet import ROW, WIDTH, Sheet

_PARTS = (
    ("History store", "Storage:"),
    ("Access rules", "Access:"),
    ("Put log", "PutLog:"),
    ("Clock", "Clock:"),
)


def ioc() -> Sheet:
    """Draw the screen, which shows every PV of the IOC."""
    sheet = Sheet("$(IOC): health", "IOC")
    sheet.header("$(IOC)")
    rest = list(IOC_PVS)
    y = 56
    for title, begin in _PARTS:
        part = [pv for pv in rest if pv.suffix.startswith(begin)]
        rest = [pv for pv in rest if pv not in part]
        sheet.section(title, 16, y, 610)
        y = _rows(sheet, part, 16, y + ROW + 8, 610) + 12
    sheet.section("Process", 650, 56, WIDTH - 666)
    _rows(sheet, rest, 650, 56 + ROW + 8, WIDTH - 666)
    return sheet


def _rows(sheet: Sheet, pvs: list[PV], x: int, y: int, width: int) -> int:
    for pv in pvs:
        height = 76 if pv.kind is Kind.TEXT else ROW - 4
        sheet.text(pv.desc, x, y, 300)
        sheet.readback(pv.suffix, x + 305, y, width - 305, height)
        y += height + 8
    return y
