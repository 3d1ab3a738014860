"""Drawing a Phoebus screen from the PV contract: PVs are named by suffix, an unknown one raises an error."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import phoebusgen
from phoebusgen import widget
from phoebusgen.screen import Screen

from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV, Kind, label_button
from ponikeeper.protocol.status import SEVERITIES, Status

WIDTH, HEIGHT = 1280, 860
"""Size of a screen (px)."""

ROW = 26
"""Height of a row (px)."""

DOT = 12
"""Size of the dot that shows that an IOC is alive (px)."""

_DETECTOR: Mapping[str, PV] = MappingProxyType({pv.suffix: pv for pv in DETECTOR_PVS})
_IOC: Mapping[str, PV] = MappingProxyType({pv.suffix: pv for pv in IOC_PVS})
_GAP = 4
_colors: Any = phoebusgen.colors  # its attributes are made on import
_fonts: Any = phoebusgen.fonts
YELLOW = (255, 221, 0)
"""Red, green, blue; Phoebus has no name for it: its MINOR is orange, which is hard to tell from its MAJOR."""

_STATUS_COLORS = {
    Status.VALID: _colors.OK.name,
    Status.UNWATCHED: _colors.Button_Background.name,
    **{status: YELLOW for status, severity in SEVERITIES.items() if severity == 1},
}
"""Background of each status: green, grey and yellow; the others are red."""

ACTIVATES = "This activates {} for $(DET) at once, for everyone who records data now. Undo takes it back."
"""Text of a confirmation."""

_DIGITS = 9
"""Most decimals that fit a widget."""

_MONOSPACED = "Liberation Mono"
"""Tables need a monospaced font; none of the named fonts of Phoebus is."""


class Sheet:
    """One screen.

    Parameters
    ----------
    title
        Title of the window; macros are expanded.
    macro
        Macro of the PV prefix: ``P`` for a detector, ``IOC`` for the IOC.
    """

    def __init__(self, title: str, macro: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        self._screen = Screen(title)
        self._screen.width(width)
        self._screen.height(height)
        self._screen.predefined_background_color(_colors.Background)
        self._macro = macro
        self._pvs = _DETECTOR if macro == "P" else _IOC
        self._count = 0

    def write(self, path: Path) -> None:
        """Write the display file."""
        self._screen.write_screen(str(path))

    def text(self, text: str, x: int, y: int, width: int, font: Any = None, height: int = ROW) -> None:
        """Draw a label."""
        label = widget.Label(self._name("text"), text, x, y, width, height)
        label.predefined_font(font or _fonts.Default)
        label.vertical_alignment_middle()
        self._add(label)

    def header(self, text: str) -> None:
        """Draw the title bar."""
        bar = widget.Rectangle(self._name("bar"), 0, 0, WIDTH, 44)
        bar.predefined_background_color(_colors.Header_Background)
        bar.predefined_line_color(_colors.Header_Background)
        self._add(bar)
        label = widget.Label(self._name("title"), text, 16, 6, 820, 32)
        label.predefined_font(_fonts.Header1)
        label.predefined_foreground_color(_colors.Header_ForeGround)
        label.vertical_alignment_middle()
        self._add(label)

    def section(self, text: str, x: int, y: int, width: int) -> None:
        """Draw the heading of a section."""
        self.text(text, x, y, width, _fonts.Header3)
        line = widget.Rectangle(self._name("line"), x, y + ROW, width, 2)
        line.predefined_background_color(_colors.Header_Background)
        line.predefined_line_color(_colors.Header_Background)
        line.line_width(0)
        self._add(line)

    def readback(
        self, suffix: str, x: int, y: int, width: int, height: int = ROW - _GAP, *, form: str = "", units: bool = True
    ) -> None:
        """Draw the readback of a PV; high ones wrap their text.

        Parameters
        ----------
        suffix
            Suffix of the PV.
        x, y, width, height
            Position and size (px).
        form
            Number format of Phoebus, such as ``Exponential``; empty for the default.
        units
            Whether the units are shown.
        """
        pv = self._pvs[suffix]
        update = widget.TextUpdate(self._name(suffix), self._pv(suffix), x, y + _GAP // 2, width, height)
        update.predefined_font(_fonts.Default)
        update.predefined_background_color(_colors.Read_Background)
        update.show_units(units)
        update.wrap_words(height > ROW)
        update.tool_tip(self._tip(pv))
        if pv.kind is Kind.TEXT:
            update.format("String")
        elif form:
            update.format(form)
        if height <= ROW:
            update.vertical_alignment_middle()
        if pv.kind is Kind.DOUBLE:
            update.precision(min(pv.precision, _DIGITS))
            update.horizontal_alignment_right()
        self._add(update)

    def status(self, x: int, y: int, width: int, height: int, *, large: bool = False) -> None:
        """Draw the status of a detector, as a word on its colour."""
        pv = self._pvs["Status_RBV"]
        update = widget.TextUpdate(self._name("status"), self._pv("Status_RBV"), x, y, width, height)
        update.predefined_font(_fonts.Header1 if large else _fonts.DefaultBold)
        update.predefined_background_color(_colors.MAJOR)
        update.predefined_foreground_color(_colors.Text)
        update.horizontal_alignment_center()
        update.vertical_alignment_middle()
        update.tool_tip(self._tip(pv))
        rules = {f"pvInt0 == {int(status)}": color for status, color in _STATUS_COLORS.items()}
        update.rule("colour of the status", "background_color", {self._pv("Status_RBV"): True}, rules)
        self._add(update)

    def heartbeat(self, x: int, y: int) -> None:
        """Draw a dot that blinks while the IOC is alive.

        An IOC that hangs keeps its values, and behind a gateway they stay connected for half a minute. A screen cannot
        compute how old a value is: the clocks of the hosts differ, and a rule is evaluated only when a PV changes.
        """
        dot = widget.Ellipse(self._name("alive"), x, y, DOT, DOT)
        dot.predefined_background_color(_colors.Button_Background)
        dot.predefined_line_color(_colors.Text)
        dot.line_width(1)
        dot.tool_tip(f"{self._pv('Alive_RBV')}\nblinks while the IOC is alive; if it does not, all values may be old")
        dot.rule("alive", "background_color", {self._pv("Alive_RBV"): True}, {"pv0 % 2 >= 1": _colors.OK.name})
        self._add(dot)

    def label_button(self, number: int, x: int, y: int, width: int) -> None:
        """Draw the button that activates a label; it is visible while there is such a label.

        Parameters
        ----------
        number
            Number of the button, from 1.
        x, y, width
            Position and size (px).
        """
        label = {self._pv(label_button(number)): True}
        button = self._put(f"label {number}", "Labels:Activate", number, x, y, width, ACTIVATES.format("the label"))
        button.rule("its label", "text", label, {"true": "pvStr0"}, value_as_expression=True)
        button.rule("is there a label?", "visible", label, {'pvStr0 == ""': "false"})
        before, after = ACTIVATES.replace("$(DET)", "the detector").split("{}")
        message = f'"{before}" + pvStr0 + "{after}"'
        button.rule("its confirmation", "confirm_message", label, {"true": message}, value_as_expression=True)
        for expression in button.root.iter("expression"):
            expression.tag = "value"  # Phoebus reads both, cs-web-lib 0.9.14 this one only
        self._add(button)

    def table(self, suffix: str, x: int, y: int, width: int, height: int) -> None:
        """Draw a text PV whose columns are aligned, in a monospaced font."""
        update = widget.TextUpdate(self._name(suffix), self._pv(suffix), x, y, width, height)
        update.font_family(_MONOSPACED)
        update.font_size(13)
        update.font_style_regular()
        update.predefined_background_color(_colors.Read_Background)
        update.format("String")
        update.wrap_words(True)
        update.vertical_alignment_top()
        update.tool_tip(self._tip(self._pvs[suffix]))
        self._add(update)

    def entry(self, suffix: str, x: int, y: int, width: int, *, form: str = "") -> None:
        """Draw a text entry for a PV."""
        pv = self._pvs[suffix]
        entry = widget.TextEntry(self._name(suffix), self._pv(suffix), x, y + _GAP // 2, width, ROW - _GAP)
        entry.predefined_font(_fonts.Default)
        entry.predefined_background_color(_colors.Write_Background)
        entry.show_units(False)
        entry.tool_tip(self._tip(pv))
        if pv.kind is Kind.DOUBLE:
            entry.precision(min(pv.precision, _DIGITS))
        entry.format(form or ("String" if pv.kind is Kind.STRING else "Default"))
        self._add(entry)

    def put(self, text: str, suffix: str, value: str | int, x: int, y: int, width: int, confirm: str = "") -> None:
        """Draw a button that puts a value, after a confirmation where `confirm` is given."""
        self._add(self._put(text, suffix, value, x, y, width, confirm))

    def _put(self, text: str, suffix: str, value: str | int, x: int, y: int, width: int, confirm: str) -> Any:
        assert self._pvs[suffix].writable, suffix
        button = self._button(text, x, y, width)
        button.action_write_pv(self._pv(suffix), value, text)
        button.tool_tip(self._tip(self._pvs[suffix]))
        if confirm:
            button.confirmation_dialog(confirm)
        return button

    def opens(self, text: str, file: str, x: int, y: int, width: int, *, target: str = "tab") -> None:
        """Draw a button that opens another screen with the macros of this one."""
        button = self._button(text, x, y, width)
        button.action_open_display(file, target, text)
        self._add(button)

    def _button(self, text: str, x: int, y: int, width: int) -> Any:
        button = widget.ActionButton(self._name("button"), text, "", x, y, width, ROW)
        button.predefined_font(_fonts.Default)
        button.predefined_background_color(_colors.Button_Background)
        return button

    def _pv(self, suffix: str) -> str:
        return f"$({self._macro}){self._pvs[suffix].suffix}"

    def _tip(self, pv: PV) -> str:
        unit = f" ({pv.units})" if pv.units else ""
        return f"{pv.desc}{unit}\n$(pv_name)"

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what} {self._count}"

    def _add(self, drawn: Any) -> None:
        self._screen.add_widget(drawn)
