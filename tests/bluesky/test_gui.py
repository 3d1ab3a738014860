"""pyFAI-calib2 next to a plan: the real program receives the arguments, and what it saves is read."""

import importlib.util
import itertools
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest

from live import wait_for
from ponikeeper.errors import Calib2Error, CalibrationCancelled, NoDisplayError, PonikeeperError
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.demo import nickel
from ponikeeper_client.gui import calib2, display

DRIVER = Path(__file__).parents[1] / "support" / "calib2_driver.py"
TIMEOUT = 120
SHAPE = (512, 512)
TRUTH = Geometry(
    dist=0.2345, poni1=0.2021, poni2=0.2011, rot1=0.0022, rot2=0.0014, rot3=0.0, pixel1=8e-4, pixel2=8e-4,
    wavelength=1.663e-11, detector="Perkin", detector_config={"orientation": 3},
)  # fmt: skip
START = replace(TRUTH, dist=0.235, poni1=0.2028)
OTHER = replace(TRUTH, dist=0.5, detector_config={"orientation": 3, "max_shape": [4096, 4096]})
MASKED_ROWS = 10

needs_qt = pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("PySide6", "PyQt6", "PyQt5"))
    or importlib.util.find_spec("qtawesome") is None,
    reason="pyFAI-calib2 has no Qt here: pip install 'pyFAI[gui]'",
)


@pytest.fixture(autouse=True)
def no_screen(monkeypatch, tmp_path):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # the program remembers its windows
    monkeypatch.delenv(display.VARIABLE, raising=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Make an image, a mask, and the whole list of nickel's d-spacings."""
    folder = tmp_path_factory.mktemp("calib2")
    mask = np.zeros(SHAPE, np.uint8)
    mask[:MASKED_ROWS] = 1
    fabio.tifimage.TifImage(data=nickel.image(TRUTH, SHAPE)).write(folder / "image.tif")
    fabio.tifimage.TifImage(data=mask).write(folder / "mask.tif")
    squares = {
        sum(i * i for i in hkl) for hkl in itertools.product(range(7), repeat=3) if len({i % 2 for i in hkl}) == 1
    }
    spacings = [nickel.LATTICE / square**0.5 for square in sorted(squares - {0})]
    (folder / "Ni_fcc.D").write_text("".join(f"{spacing:.6f}\n" for spacing in spacings))
    return {"image": folder / "image.tif", "mask": folder / "mask.tif", "calibrant": folder / "Ni_fcc.D"}


@pytest.fixture
def make(files, tmp_path):
    """Make calibrations whose program ends with the test; their messages are in `messages`, and in the file `said`."""
    made = []

    def begin(command, start=START, **changes):
        messages = []

        def say(message):
            messages.append(message)
            (tmp_path / "said").write_text("\n".join(messages))

        options = {**files, "wavelength": TRUTH.wavelength, "folder": tmp_path / "calib", **changes}
        calibration = calib2.Calib2(start=start, command=command, say=say, **options)
        calibration.messages = messages
        made.append(calibration)
        return calibration.start()

    yield begin
    for calibration in made:
        calibration.close()


@pytest.fixture
def clicked(make, tmp_path):
    """Run the real program, operated by a script; return the result and the report of the script."""

    def run(steps, **changes):
        report, too_late = tmp_path / "report.json", threading.Event()
        calibration = make((sys.executable, str(DRIVER), str(report), steps), **changes)
        clock = threading.Timer(TIMEOUT, too_late.set)
        clock.start()
        try:
            found = calibration.wait(too_late)
        except PonikeeperError as error:
            found = error
        clock.cancel()
        assert calibration._process.returncode == 0, (tmp_path / "calib" / "calib2.log").read_text()[-3000:]
        return found, json.loads(report.read_text()) | {"messages": calibration.messages}

    return run


def script(code):
    """Return a program that replaces pyFAI-calib2; it runs in the folder and has the text of a PONI."""
    opening = f"""
import os, sys, signal
from pathlib import Path
WHOLE = {poni.write(OTHER)!r}
save = lambda name, text: Path(name).write_text(text)
"""
    return (sys.executable, "-c", opening + code)


def outcome(calibration):
    return calibration.wait(threading.Event())


# the real program


@needs_qt
def test_real_program_shows_what_was_given_and_its_fit_is_taken_up(clicked, files, tmp_path):
    found, report = clicked("show,fit,save=mine,said,close")
    folder = tmp_path / "calib"
    settings = report["settings"]
    spacings = settings.pop("dspacings")
    assert len(spacings) == len(files["calibrant"].read_text().split())
    assert settings == {
        "image": str(files["image"]),
        "image_sum": int(fabio.open(files["image"]).data.sum()),
        "mask": str(files["mask"]),
        "masked": MASKED_ROWS * SHAPE[1],
        "calibrant": "Ni_fcc",
        "wavelength": TRUTH.wavelength,
        "detector": "Perkin",
        "pixels": [TRUTH.pixel1, TRUTH.pixel2],
        "shape": list(SHAPE),
        "orientation": 3,
        "fixed": [True, True],
    }
    assert report["start"] == {name: getattr(START, name) for name in report["start"]}
    shown = [float(text) for text in report["shown"]]
    assert shown == pytest.approx(
        [START.wavelength_angstrom, START.dist, START.poni1, START.poni2, 0.0022, 0.0014, 0.0]
    )
    assert report["proposed"] == [str(folder), str(folder / "calibration.poni")]

    assert (found.path, found.warnings) == (folder / "mine.poni", ())
    assert found.geometry == replace(TRUTH, **report["fitted"])
    assert found.geometry.dist == pytest.approx(TRUTH.dist, rel=0.005)
    assert found.geometry.fit2d.beam_x == pytest.approx(TRUTH.fit2d.beam_x, abs=1)
    assert found.geometry.fit2d.beam_y == pytest.approx(TRUTH.fit2d.beam_y, abs=1)
    assert f"save the PONI in {folder}" in report["messages"][0]
    assert report["messages"][1] == "mine.poni was saved: close pyFAI-calib2 to go on with it"


@needs_qt
@pytest.mark.campaign
def test_real_program_keeps_the_orientation_and_what_was_saved_last_counts(clicked, tmp_path):
    start = replace(START, detector_config={"orientation": 2})
    found, report = clicked("move,save=first,wavelength,save=calibration,close", start=start, calibrant="Ni")
    assert (report["settings"]["orientation"], report["settings"]["calibrant"]) == (2, "Ni")
    assert found.path == tmp_path / "calib" / "calibration.poni"
    assert found.geometry == replace(start, dist=0.9 * START.dist, wavelength=2e-11)
    (warning,) = found.warnings
    assert "another wavelength (m) than was given: 2e-11, not 1.663e-11" in warning


@needs_qt
@pytest.mark.campaign
def test_real_program_starts_from_only_the_detector(clicked):
    panel = calib2.Panel("Perkin", 8e-4, 8e-4, {"orientation": 2})
    found, report = clicked("show,close", start=panel, mask=None)
    settings = report["settings"]
    assert (settings["detector"], settings["orientation"], settings["shape"]) == ("Perkin", 2, list(SHAPE))
    assert (settings["wavelength"], settings["mask"]) == (TRUTH.wavelength, None)
    assert report["start"]["dist"] is None
    assert isinstance(found, CalibrationCancelled)


@needs_qt
@pytest.mark.campaign
def test_real_program_is_given_the_wavelength_where_there_is_no_start(clicked):
    found, report = clicked("close", start=None)
    assert report["settings"]["wavelength"] == pytest.approx(TRUTH.wavelength, rel=1e-12)
    assert report["settings"]["detector"] is None
    assert isinstance(found, CalibrationCancelled)


@needs_qt
@pytest.mark.campaign
def test_closing_without_saving_changes_is_a_cancel(clicked, tmp_path):
    found, report = clicked("move,close")
    assert "not saved" in report["asked"]
    assert isinstance(found, CalibrationCancelled)
    assert str(found).startswith(f"cancelled: pyFAI-calib2 was closed and no PONI saved in {tmp_path / 'calib'}")


@needs_qt
@pytest.mark.campaign
def test_poni_without_a_geometry_saved_before_a_fit_is_refused(clicked):
    found, report = clicked("save=mine,said,close")
    assert isinstance(found, Calib2Error)
    assert str(found).startswith("mine.poni is no whole PONI and was ignored: pyFAI-calib2 writes None")
    assert report["messages"][1].startswith("mine.poni was saved without a geometry: ")


@needs_qt
def test_real_program_could_open_offscreen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen:nonsense-is-ignored")
    display.require_display()


# any program: what counts as saved


def test_poni_of_any_name_is_taken_and_half_of_one_is_waited_for(make, tmp_path):
    half = "save('odd name.poni', WHOLE[:-20]); save('half', '')\nwhile not Path('go').exists(): pass\n"
    calibration = make(script(half + "save('odd name.poni', WHOLE)"))
    folder = tmp_path / "calib"
    wait_for((folder / "half").exists)
    assert calibration.poll() is None
    assert not any("was saved" in line for line in calibration.messages)
    (folder / "go").touch()
    assert outcome(calibration) == calib2.Saved(OTHER, folder / "odd name.poni")


def test_poni_that_is_whole_only_after_the_end_is_waited_for(make, tmp_path):
    calibration = make(script("save('a.poni', WHOLE[:-20])"))
    wait_for(lambda: calibration._process.poll() is not None)
    assert calibration.poll() is None
    (tmp_path / "calib" / "a.poni").write_text(poni.write(OTHER))
    assert outcome(calibration).geometry == OTHER


def test_poni_that_stays_cut_is_refused_by_name(make, monkeypatch):
    monkeypatch.setattr(calib2, "_GRACE", 0.1)
    with pytest.raises(Calib2Error, match=r"a\.poni is no whole PONI and was ignored: .* cut"):
        outcome(make(script("save('a.poni', WHOLE[:-20])")))


def test_renamed_poni_is_taken_under_its_last_name(make, tmp_path):
    calibration = make(script("save('a.poni', WHOLE); os.rename('a.poni', 'b.poni')"))
    assert outcome(calibration).path == tmp_path / "calib" / "b.poni"


def save_later(name, end=None, then=""):
    """Return the lines that save m.poni and, at a later tick of the file system's clock, another one."""
    return f"""
save('m.poni', WHOLE)
while True:
    save({name!r}, WHOLE.replace('Distance: 0.5', 'Distance: 0.6')[:{end}])
    {then}
    if {name!r} == 'm.poni' or os.stat({name!r}).st_ctime_ns > os.stat('m.poni').st_ctime_ns:
        break
"""


@pytest.mark.parametrize("second", ["a.poni", "z.poni", "m.poni"])
def test_last_of_two_saved_counts_whatever_their_names(make, second):
    found = outcome(make(script(save_later(second))))
    assert (found.path.name, found.geometry.dist) == (second, 0.6)


def test_older_poni_that_is_copied_in_last_counts(make):
    found = outcome(make(script(save_later("a.poni", then="os.utime('a.poni', (1, 1))"))))
    assert found.path.name == "a.poni"


def test_last_complete_poni_is_used_with_a_warning_if_the_next_one_is_truncated(make, monkeypatch):
    monkeypatch.setattr(calib2, "_GRACE", 0.1)
    saved = outcome(make(script(save_later("a.poni", end=-20))))
    assert saved.geometry == OTHER
    assert saved.warnings[0].startswith("a.poni is no whole PONI and was ignored")


@pytest.mark.parametrize("change", [2e-16, -1e-12])
def test_wavelength_that_only_went_through_angstrom_is_the_one_that_was_given(make, change):
    there_and_back = poni.write(replace(OTHER, wavelength=TRUTH.wavelength * (1 + change)))
    assert outcome(make(script(f"save('a.poni', {there_and_back!r})"))).geometry == OTHER


def test_start_poni_counts_only_when_it_was_changed(make):
    with pytest.raises(CalibrationCancelled, match="cancelled"):
        outcome(make(script("os.utime('calibration.poni'); os.rename('calibration.poni', 'near.poni')")))
    assert outcome(make(script("save('calibration.poni', WHOLE)"))).geometry == OTHER


def test_poni_that_was_there_before_does_not_count(make, tmp_path):
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib" / "old.poni").write_text(poni.write(OTHER))
    with pytest.raises(CalibrationCancelled):
        outcome(make(script("")))


def test_every_given_value_that_was_changed_is_reported(make):
    other = poni.write(replace(OTHER, pixel1=1e-4, detector="Eiger4M", detector_config={"orientation": 1}))
    saved = outcome(make(script(f"save('a.poni', {other!r} + '# Calibrant: CeO2\\n')")))
    messages = " ".join(saved.warnings)
    assert len(saved.warnings) == 4
    for text in ("orientation than was given: 1, not 3", "detector than was given: Eiger4M, not Perkin"):
        assert text in messages
    for text in ("pixel1 than was given: 0.0001, not 0.0008", "calibrant than was given: CeO2, not Ni_fcc"):
        assert text in messages


# any program: how it ends


def test_crash_is_reported_with_the_end_of_the_output(make):
    with pytest.raises(
        Calib2Error, match=r"(?s)exit code 1 and saved nothing.*calib2\.log: .*ValueError: no such thing"
    ):
        outcome(make(script("print('x' * 5000, file=sys.stderr); raise ValueError('no such thing')")))


def test_crash_after_saving_loses_nothing_and_is_reported(make):
    saved = outcome(make(script("save('a.poni', WHOLE); os.kill(os.getpid(), signal.SIGSEGV)")))
    assert saved.geometry == OTHER
    assert saved.warnings == ("pyFAI-calib2 ended with SIGSEGV after a.poni had been saved",)


def test_program_that_was_killed_is_reported(make):
    calibration = make(script("signal.pause()"))
    os.kill(calibration._process.pid, signal.SIGKILL)
    with pytest.raises(Calib2Error, match="ended with SIGKILL and saved nothing"):
        outcome(calibration)


CHILDREN = """
import subprocess
stubborn = 'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()'
child = subprocess.Popen([sys.executable, '-c', stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
save('child.tmp', str(child.pid)); os.rename('child.tmp', 'child')
signal.pause()
"""


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_cancelling_the_wait_ends_the_program_and_its_children(make, tmp_path):
    calibration, cancelled, raised = make(script(CHILDREN)), threading.Event(), []
    child = tmp_path / "calib" / "child"

    def wait():
        try:
            calibration.wait(cancelled)
        except CalibrationCancelled as error:
            raised.append(str(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_for(child.exists)
    cancelled.set()
    waiter.join(20)
    assert raised == ["cancelled: the plan ended before a PONI was saved"]
    assert calibration._process.returncode == -signal.SIGTERM
    wait_for(lambda: gone(int(child.read_text())))


def test_closing_from_another_thread_is_a_cancel_and_may_be_repeated(make):
    calibration = make(script("signal.pause()"))
    calibration.close()
    calibration.close()
    with pytest.raises(CalibrationCancelled, match="cancelled"):
        outcome(calibration)


def test_context_ends_the_program(files, tmp_path):
    options = {**files, "wavelength": TRUTH.wavelength, "start": START, "command": script("signal.pause()")}
    with calib2.Calib2(folder=tmp_path / "calib", **options) as calibration:
        assert calibration.poll() is None
    assert calibration._process.returncode == -signal.SIGTERM


def test_interrupt_at_the_prompt_does_not_reach_the_window(make):
    calibration = make(script("signal.pause()"))
    assert os.getpgid(calibration._process.pid) == calibration._process.pid != os.getpgrp()


# before anything is started


def test_calibration_that_was_not_started_is_reported(files, tmp_path):
    calibration = calib2.Calib2(folder=tmp_path, wavelength=TRUTH.wavelength, start=START, **files)
    calibration.close()
    with pytest.raises(Calib2Error, match=r"not started: call start\(\)"):
        calibration.poll()


@pytest.mark.parametrize("name", ["image", "mask", "calibrant"])
def test_file_that_is_not_there_is_named(make, name, tmp_path):
    with pytest.raises(Calib2Error, match=r"nowhere\.D is not there"):
        make(script(""), **{name: tmp_path / "nowhere.D"})


def test_program_that_is_not_there_is_named_with_what_to_do(make, monkeypatch):
    with pytest.raises(NoDisplayError, match=r"no program no-such-calib2: pip install .*method=\"auto\""):
        make(("no-such-calib2",))
    monkeypatch.setenv(display.VARIABLE, "no-such-calib2 --remote-bug")
    with pytest.raises(NoDisplayError, match="no program no-such-calib2"):
        display.require_display()


def test_program_and_options_are_taken_from_the_environment(make, monkeypatch, tmp_path):
    folder = tmp_path / "calib"
    monkeypatch.setenv(
        display.VARIABLE, f"{sys.executable} -c \"import sys; open('args', 'w').write(repr(sys.argv))\" --remote-bug"
    )
    with pytest.raises(CalibrationCancelled):
        outcome(make(None))
    assert (folder / "args").read_text().startswith("['-c', '--remote-bug', '--fix-wavelength', '--fix-rot3', '-c'")


def test_missing_display_is_reported_with_what_to_do(monkeypatch):
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoDisplayError, match=r"neither DISPLAY nor WAYLAND_DISPLAY is set: .*ssh -X.*method=\"auto\""):
        display.require_display()


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_program_of_another_python_is_checked_only_for_a_display(monkeypatch, name):
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.setenv(name, "nowhere:77")
    display.require_display((sys.executable,))


def test_missing_qt_is_reported_with_what_to_install(monkeypatch):
    monkeypatch.setattr(display, "_BINDINGS", ("NoSuchQt",))
    with pytest.raises(
        NoDisplayError, match=r"needs one of NoSuchQt, and none is installed: pip install 'pyFAI\[gui\]'"
    ):
        display.require_display()


@needs_qt
def test_display_that_is_gone_is_detected(monkeypatch):
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.setenv("DISPLAY", "127.0.0.1:77")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoDisplayError, match=r"could not open a window .*qt\.qpa.*ssh -X"):
        display.require_display()


def test_module_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(display, "_PROBE", "import no_such_module")
    monkeypatch.setattr(display, "_BINDINGS", ("json",))
    with pytest.raises(NoDisplayError, match="No module named 'no_such_module'"):
        display.require_display()


def test_start_of_a_panel_has_no_place_and_of_a_geometry_its_orientation_always():
    panel = calib2.start_text(calib2.Panel("Perkin", 2e-4, 2e-4), 1.6e-11)
    assert [line.partition(":")[0] for line in panel.splitlines()[1:]] == [
        "poni_version", "Detector", "Detector_config", "Wavelength",
    ]  # fmt: skip
    assert '"orientation": 3' in panel.replace('":3', '": 3')
    whole = calib2.start_text(replace(TRUTH, detector_config={}), 1.6e-11)
    assert poni.read(whole) == replace(TRUTH, wavelength=1.6e-11)
