"""Check whether pyFAI-calib2 can open its window here, before anything is exposed."""

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
"""Environment variable for another program with its options: ``pyFAI-calib2 --remote-bug``."""

_BINDINGS = ("PySide6", "PyQt6", "PyQt5")
_PROBE = "from pyFAI.gui import CalibrationContext; from silx.gui import qt; qt.QApplication([])"
_PROBE_TIMEOUT = 30.0
_OTHERWISE = 'or calibrate without a window: method="auto"'


def default_command() -> tuple[str, ...]:
    """Return the program and its options from the environment, otherwise pyFAI's."""
    return tuple(shlex.split(os.environ.get(VARIABLE, ""))) or (PROGRAM,)


def require_display(command: Sequence[str] | None = None) -> None:
    """Check, before anything is exposed, that pyFAI-calib2 can open its window.

    This takes some seconds: the modules of the window are loaded and Qt is started, without showing
    anything. Only this detects a forwarded display that is gone, or a missing library.

    Parameters
    ----------
    command
        Program and options; default: `default_command`.

    Raises
    ------
    NoDisplayError
        It cannot; the message says what to do.
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
            f"{command[0]} could not open a window ({problem}): if the display is gone, log in again with ssh -X; "
            f"if a module is missing, pip install 'pyFAI[gui]'; {_OTHERWISE}"
        )


def find_program(program: str) -> Path:
    """Find a program: first in the folder of this Python, which need not be on the PATH."""
    path = shutil.which(program, path=Path(sys.executable).parent) or shutil.which(program)
    if path is None:
        raise NoDisplayError(
            f"there is no program {program}: pip install 'ponikeeper[fit]' 'pyFAI[gui]', "
            f"or name another one in {VARIABLE}, {_OTHERWISE}"
        )
    return Path(path)


def _window_problem() -> str | None:
    """Start Qt as the program does, and return its error message; None if it starts."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_PROBE_TIMEOUT:g} s"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [exit_text(done.returncode)]
    # the cause is in the first lines of Qt's output, in the last line of Python's
    return lines[-1] if lines[0].startswith("Traceback") else " ".join(lines[:2])


def exit_text(code: int) -> str:
    """Format how a process ended: exit code or signal."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
