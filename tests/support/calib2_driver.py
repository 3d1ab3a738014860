"""The real pyFAI-calib2 with a simulated user: run with a list of clicks before its arguments.

``python calib2_driver.py REPORT STEP,STEP,... ARGUMENTS``. What the window's models hold and what
its dialogues propose is written to REPORT, a JSON file, with a picture of each page in the same folder.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from pyFAI.app import calib2
from pyFAI.detectors import Detector
from pyFAI.gui.CalibrationWindow import CalibrationWindow
from silx.gui import qt

RINGS, GEOMETRY, INTEGRATION = 2, 3, 4
FROM_FIT = 1
MAX_RINGS = 6
TICK = 20
FAILED = 77
LIMIT = 240
"""Seconds after which the program ends, whatever it still waits for: the plan that waits for it would never end."""

Step = Iterator[Callable[[], object]]


class Person:
    """A user who clicks one step after another, each when the window is ready for it."""

    def __init__(self, report: Path, steps: list[str]) -> None:
        self.report, self.found = report, {}
        self.clicks = self.all_steps(steps)
        self.ready: Callable[[], object] = lambda: True
        self.timer = qt.QTimer()
        self.timer.timeout.connect(self.tick)
        self.timer.start(TICK)
        self.guard = qt.QTimer()
        self.guard.timeout.connect(self.look_for_boxes)
        self.guard.start(TICK)
        qt.QTimer.singleShot(1000 * LIMIT, lambda: give_up(f"the window was still open after {LIMIT} s"))

    def look_for_boxes(self) -> None:
        """End the program if it shows an unexpected message box."""
        if box := dialogue(qt.QMessageBox):
            give_up(f"{box.windowTitle()}: {box.text()}")

    def tick(self) -> None:
        self.timer.stop()
        try:
            if not self.ready():
                self.timer.start(TICK)
                return
            self.ready = next(self.clicks)
            self.timer.start(TICK)
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001  # Qt would go on without the person
            give_up(traceback.format_exc())
        self.report.write_text(json.dumps(self.found))

    def all_steps(self, steps: list[str]) -> Step:
        windows = [each for each in qt.QApplication.topLevelWidgets() if isinstance(each, CalibrationWindow)]
        (self.window,) = windows
        yield self.window.isVisible
        self.model = self.window.model()
        self.found = {"settings": self.settings(), "start": self.geometry()}
        self.picture("experiment")
        for step in steps:
            name, _, argument = step.partition("=")
            yield from getattr(self, name)(*[argument][: bool(argument)])

    def show(self) -> Step:
        """Look at the geometry that it starts with."""
        yield from self.page(GEOMETRY)
        self.found["shown"] = [edit.text() for edit in self.page_widget(GEOMETRY).findChildren(qt.QLineEdit)]
        self.picture("geometry")

    def fit(self) -> Step:
        """Extract the first rings where the start geometry has them, and fit."""
        yield from self.page(RINGS)
        rings = self.page_widget(RINGS)
        rings._geometrySource.setCurrentIndex(FROM_FIT)
        rings._maxRingToExtract.setValue(MAX_RINGS)
        next(choice for choice in rings._extract.actions() if choice.text() == "Extract rings until").trigger()
        rings._extract.click()
        peaks = self.model.peakSelectionModel()
        yield lambda: len(peaks) > 0 and self.quiet()
        self.found["rings"] = len(peaks)
        self.picture("rings")
        yield from self.page(GEOMETRY)
        yield self.quiet
        later(self.page_widget(GEOMETRY)._fitButton.click)
        history = self.model.geometryHistoryModel()
        yield lambda: [item for item in history if item.label() == "Fitted"] and self.quiet()
        self.found["fitted"] = self.geometry()
        self.picture("fitted")

    def move(self) -> Step:
        """Type another distance."""
        self.model.fittedGeometry().distance().setValue(0.9 * self.model.fittedGeometry().distance().value())
        yield self.quiet

    def wavelength(self) -> Step:
        """Change the wavelength, which is fixed in a calibration."""
        self.model.fittedGeometry().wavelength().setValue(2e-11)
        yield self.quiet

    def save(self, name: str = "") -> Step:
        """Save under a name, or under the one that is proposed, by the program's own button and dialogue."""
        yield from self.page(INTEGRATION)
        yield self.quiet
        self.picture("integration")
        later(self.page_widget(INTEGRATION)._savePoniButton.click)
        yield lambda: dialogue(qt.QFileDialog)
        box = dialogue(qt.QFileDialog)
        self.found["proposed"] = [box.directory().absolutePath(), *box.selectedFiles()]
        self.picture("dialogue", box)
        if name:
            edit = box.findChild(qt.QLineEdit, "fileNameEdit")
            # the dialogue writes the proposed name again when it has read the folder
            yield lambda: edit.text() == name or edit.setText(name)
        later(box.accept)
        yield lambda: not dialogue(qt.QFileDialog)
        file = self.model.experimentSettingsModel().poniFile()
        yield file.isSynchronized
        self.found.setdefault("saved", []).append(file.value())

    def said(self) -> Step:
        """Wait for the message about the file that was saved last: the test writes the messages into a file."""
        name = Path(self.found["saved"][-1]).name
        yield lambda: f"{name} was saved" in self.report.with_name("said").read_text()

    def close(self) -> Step:
        """Close the window without saving."""
        self.guard.stop()
        later(self.window.close)
        yield lambda: dialogue(qt.QMessageBox)  # where there is no question the program ends here
        question = dialogue(qt.QMessageBox)
        self.found["asked"] = question.text()
        question.button(qt.QMessageBox.Yes).animateClick()  # by Qt itself, later: it hangs while Python holds the box

    def page(self, number: int) -> Step:
        self.window._list.setCurrentRow(number)
        yield lambda: self.page_widget(number).isVisible()

    def page_widget(self, number: int) -> qt.QWidget:
        return self.window._stack.widget(number)

    def quiet(self) -> bool:
        """Check that no computation is running."""
        return qt.QApplication.overrideCursor() is None

    def picture(self, name: str, widget: qt.QWidget | None = None) -> None:
        (widget or self.window).grab().save(str(self.report.with_name(f"{self.report.stem}-{name}.png")))

    def geometry(self) -> dict[str, float | None]:
        model = self.model.fittedGeometry()
        parts = {"dist": model.distance(), "poni1": model.poni1(), "poni2": model.poni2(), "rot1": model.rotation1()}
        parts |= {"rot2": model.rotation2(), "rot3": model.rotation3(), "wavelength": model.wavelength()}
        return {name: part.value() for name, part in parts.items()}

    def settings(self) -> dict[str, object]:
        model = self.model.experimentSettingsModel()
        detector, image, mask = model.detector(), model.image(), model.mask()
        constraints = self.model.geometryConstraintsModel()
        return {
            "image": image.filename(),
            "image_sum": int(image.value().sum()),
            "mask": mask.filename(),
            "masked": None if mask.value() is None else int((mask.value() != 0).sum()),
            "calibrant": model.calibrantModel().calibrant().name,
            "dspacings": list(model.calibrantModel().calibrant().dspacing),
            "wavelength": model.wavelength().value(),
            "fixed": [constraints.wavelength().isFixed(), constraints.rotation3().isFixed()],
        } | self.detector(detector)

    def detector(self, detector: Detector | None) -> dict[str, object]:
        if detector is None:
            return {"detector": None}
        return {
            "detector": type(detector).__name__,
            "pixels": [detector.pixel1, detector.pixel2],
            "shape": list(detector.shape),
            "orientation": int(detector.orientation),
        }


class Application(qt.QApplication):
    """Qt's application, in which the person begins when the program hands over to it."""

    def exec(self) -> int:
        self.person = Person(*_orders)
        gc.freeze()  # pyFAI collects all garbage at each change of a geometry: that was two thirds of its time
        return super().exec()


def dialogue(kind: type) -> qt.QDialog | None:
    """Return the open dialogue, if it is of this kind."""
    box = qt.QApplication.activeModalWidget()
    return box if isinstance(box, kind) else None


def later(click: Callable[[], object]) -> None:
    """Click after the current event: a dialogue returns only when it is closed."""
    qt.QTimer.singleShot(0, click)


def give_up(why: str) -> None:
    """End the process at once, with the reason in the program's log."""
    print(why, file=sys.stderr, flush=True)
    os._exit(FAILED)


if __name__ == "__main__":
    _orders = (Path(sys.argv[1]), sys.argv[2].split(","))
    sys.argv[:] = ["pyFAI-calib2", *sys.argv[3:]]
    qt.QApplication = Application
    sys.exit(calib2.main())
