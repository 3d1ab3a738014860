"""Whether pyFAI-calib2 could open its window here, found out before anything is exposed."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ponikeeper.errors import NoDisplayError

PROGRAM = "pyFAI-calib2"
VARIABLE = "PONIKEEPER_CALIB2"
"""Environment variable that names another program, options and all: ``pyFAI-calib2 --remote-bug``."""

_BINDINGS = ("PySide6", "PyQt6", "PyQt5")
_PROBE = "from pyFAI.gui import CalibrationContext; from silx.gui import qt; qt.QApplication([])"
_PROBE_TIMEOUT = 30.0
_OTHERWISE = 'or calibrate without a window: method="auto"'


def default_command() -> tuple[str, ...]:
    """Give the program and its options, as the environment names it, else pyFAI's."""
    return tuple(shlex.split(os.environ.get(VARIABLE, ""))) or (PROGRAM,)


def require_display(command: Sequence[str] | None = None) -> None:
    """Make sure, before anything is exposed, that pyFAI-calib2 could open its window.

    Takes some seconds, before a run is open: pyFAI's window is loaded and Qt started, without
    showing anything. Nothing less finds out that a forwarded display is gone or a library missing.

    Parameters
    ----------
    command
        Program and options; default: `default_command`.

    Raises
    ------
    NoDisplayError
        It could not; the message says what to do.
    """
    command = command or default_command()
    program = find_program(command[0])
    offscreen = os.environ.get("QT_QPA_PLATFORM", "").startswith("offscreen")
    if not (offscreen or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplayError(
            f"{command[0]} needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set: "
            f"log in with ssh -X, {_OTHERWISE}"
        )
    if program != Path(sys.executable).parent / PROGRAM:
        return  # which Python would run it, and with which Qt, is not known
    if not any(importlib.util.find_spec(name) for name in _BINDINGS):
        raise NoDisplayError(
            f"{command[0]} needs one of {', '.join(_BINDINGS)}, and none is installed: "
            f"pip install 'pyFAI[gui]', {_OTHERWISE}"
        )
    if problem := _window_problem():
        raise NoDisplayError(
            f"{command[0]} could not open a window ({problem}): where the display is gone, log in anew with ssh -X; "
            f"where a module is missing, pip install 'pyFAI[gui]'; {_OTHERWISE}"
        )


def find_program(program: str) -> Path:
    """Find a program: beside this Python first, whose folder need not be on the PATH."""
    beside = Path(sys.executable).parent
    found = shutil.which(program, path=beside) or shutil.which(program)
    if found is None:
        raise NoDisplayError(
            f"there is no program {program}: pip install 'ponikeeper[fit]' 'pyFAI[gui]', "
            f"or name another one in {VARIABLE}, {_OTHERWISE}"
        )
    return Path(found)


def _window_problem() -> str | None:
    """Start a window system as the program would, and give what it says against it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_PROBE_TIMEOUT:g} s"
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [told_code(done.returncode)]
    # Qt begins with what is wrong, Python ends with it
    return said[-1] if said[0].startswith("Traceback") else " ".join(said[:2])


def told_code(code: int) -> str:
    """Tell how a process ended."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
