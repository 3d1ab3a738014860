"""The plan `calibrate`: a live IOC, a real RunEngine and the real fit, on a panel that shows a simulated image."""

import hashlib
import threading
from dataclasses import replace

import fabio
import numpy as np
import pytest
from bluesky.utils import ProgressBarManager, RunEngineInterrupted
from bluesky_tiled_plugins import TiledWriter

import catalogs as catalogs_of
from calibrating import SMALL, Panel, Recorder, small
from calibrating import off_px as off_px_on
from live import wait_for
from ponikeeper.errors import CalibrantError, CalibrationError, GeometryFileError, PonikeeperError, WavelengthError
from ponikeeper.geometry import poni
from ponikeeper.system.file_hash import file_entry
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.plans import Nominal, Shutter, calibrate

TRUTH = small(replace(NEAR, dist=0.2391, poni1=0.2013, poni2=0.2052, rot1=0.011, rot2=-0.006))
START = Nominal(0.25, "Detector", pixel=(4e-4, 4e-4))
DARK = 37
RIGHT = 0.1
"""Allowed deviation (px rms) over the whole panel, of which separate rings cover a third."""


def off_px(found, truth):
    return off_px_on(found, truth, SMALL)


@pytest.fixture(scope="module")
def frame():
    return nickel.image(TRUTH, SMALL, seed=1)


@pytest.fixture
def recorder():
    return Recorder(name="shutter")


@pytest.fixture
def shutter(recorder):
    return Shutter(recorder, "open", "closed")


@pytest.fixture
def panel(make, prefix, frame):
    device = make(Panel, prefix.removesuffix("Calib:"))
    device.frames = [frame]
    return device


@pytest.fixture
def session(run_engine, tmp_path):
    """Run the plan; gives its results, and keeps the documents in `documents`."""

    class Session:
        def __init__(self):
            self.documents, self.folder = {}, tmp_path / "calibrations"

        def __call__(self, detectors, calibs=None, **options):
            self.documents, stored = {}, {}

            def plan():
                stored["results"] = yield from calibrate(
                    detectors,
                    calibs,
                    **{
                        "calibrant": "Ni",
                        "output_dir": self.folder,
                        "wavelength": 1.663e-11,
                        "start": START,
                        **options,
                    },
                )

            run_engine(plan(), lambda kind, document: self.documents.setdefault(kind, []).append(document))
            return stored["results"]

        @property
        def uid(self):
            return self.documents["start"][0]["uid"]

        def files(self, kind):
            return sorted(path.name for path in self.folder.glob(f"*.{kind}"))

    yield Session()
    run_engine.md.pop("bt_wavelength", None)


def test_first_calibration_from_a_nominal_distance_is_active_and_right(session, panel, shutter, recorder, caplog):
    assert panel.calib.read_snapshot().status == "UNSET"
    result = session([panel], num=3, label="near", shutter=shutter, md={"sample": "Ni"})["pe1"]

    snapshot = panel.calib.read_snapshot()
    assert (result.revision, snapshot.revision, snapshot.label, snapshot.status) == (1, 1, "near", "UNWATCHED")
    assert snapshot.geometry == result.geometry
    assert off_px(result.geometry, TRUTH) < RIGHT
    assert session.files("*") == [f"{session.uid}_pe1_image.{kind}" for kind in ("png", "poni", "tiff")]
    assert poni.read(result.files.poni.read_bytes()) == result.geometry
    comments = result.files.poni.read_text()
    assert f"# revision 1 (near) of {panel.calib.prefix}, uid {snapshot.uid}" in comments
    assert "# status: UNWATCHED: no links are configured" in comments
    assert recorder.puts == ["open", "closed"]
    reported = snapshot.provenance
    assert (reported["method"], reported["calibrant"], reported["run_uid"]) == ("fit", "Ni", session.uid)
    assert reported["wavelength_from"] == "argument"
    assert reported["n_rings"] >= 5
    assert reported["residual_px"] < 0.2
    assert set(reported["sigma"]) == {"dist", "poni1", "poni2", "rot1", "rot2", "wavelength"}
    start = session.documents["start"][0]
    assert (start["plan_name"], start["sample"], start["num_points"]) == ("calibrate", "Ni", 3)
    assert len(session.documents["event"]) == 3
    assert "revision 1 is active, UNWATCHED: no links" in result._repr_html_()
    assert (result.status, result.status_reason) == (snapshot.status, snapshot.reason)
    assert [record for record in caplog.records if record.name.startswith("ponikeeper")] == []


def test_next_calibration_starts_from_what_is_active_and_takes_its_wavelength(session, panel):
    panel.calib.set(replace(TRUTH, dist=0.246, poni1=0.1047)).wait(timeout=10)
    result = session([panel], wavelength=None, start=None)["pe1"]
    assert off_px(result.geometry, TRUTH) < RIGHT
    assert result.last.dist == 0.246
    reported = panel.calib.read_snapshot().provenance["wavelength_from"]
    assert reported == "the active geometry, no link watches the energy"


def test_wavelength_is_taken_from_the_metadata_of_the_run_engine(session, panel, run_engine):
    run_engine.md["bt_wavelength"] = 0.1663
    session([panel], wavelength=None)
    assert panel.calib.read_snapshot().provenance["wavelength_from"] == "RE.md['bt_wavelength']"
    assert panel.calib.read_snapshot().geometry.wavelength == pytest.approx(1.663e-11, rel=1e-12)


def test_contradicting_wavelengths_are_refused_before_the_exposure_and_both_are_named(session, panel, run_engine):
    run_engine.md["bt_wavelength"] = 0.1670
    with pytest.raises(
        WavelengthError, match=r"argument says 1\.663e-11 m and RE\.md\['bt_wavelength'\] says 1\.67e-11 m"
    ):
        session([panel])
    assert panel.exposures == 0
    assert session.documents["stop"][0]["exit_status"] == "fail"


def test_dark_is_subtracted_in_double_precision(session, panel, frame):
    panel.frames = [frame, frame + np.uint16(100)]
    result = session([panel], num=2, dark=np.full(frame.shape, DARK, np.uint16), config_det=False)["pe1"]
    stored = _image(result.files.image)
    np.testing.assert_allclose(stored, frame.astype(float) + 50 - DARK, atol=1e-3)
    assert result.revision is None
    assert f"# fitted to run {session.uid}, pe1_image\n# position: no links\n# status: not committed" in (
        result.files.poni.read_text()
    )
    assert panel.calib.read_snapshot().status == "UNSET"


def test_dark_is_taken_with_the_shutter_closed(session, panel, frame, shutter, recorder):
    panel.frames = [np.full(frame.shape, DARK, np.uint16), frame + np.uint16(DARK)]
    result = session([panel], dark="take", shutter=shutter)["pe1"]
    assert recorder.puts == ["closed", "open", "closed"]
    np.testing.assert_allclose(_image(result.files.image), frame)
    assert [document["name"] for document in session.documents["descriptor"]] == ["dark", "primary"]


def test_poni_of_the_user_is_activated_with_how_well_it_fits(session, panel, tmp_path):
    file = tmp_path / "mine.poni"
    file.write_text(poni.write(TRUTH))
    result = session([panel], method="poni", start=file, wavelength=None)["pe1"]
    snapshot = panel.calib.read_snapshot()
    assert (snapshot.geometry, snapshot.provenance["method"]) == (TRUTH, "poni")
    assert snapshot.provenance["wavelength_from"] == "the start's PONI"
    assert snapshot.provenance["residual_px"] < 0.3
    assert result.warnings == ()


def test_poni_that_does_not_fit_reports_it_in_the_record(session, panel):
    wrong = replace(TRUTH, dist=TRUTH.dist * 1.03)
    result = session([panel], method="poni", start=wrong)["pe1"]
    assert panel.calib.read_snapshot().geometry == wrong
    assert any("not precise" in warning or "not this standard" in warning for warning in result.warnings)
    assert panel.calib.read_snapshot().provenance["comment"]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"calibrant": None}, CalibrantError, "the calibrant is missing: give the powder standard in the beam"),
        ({"calibrant": "Nickel"}, CalibrantError, "expected a .D file, or one of"),
        ({"method": "magic"}, CalibrationError, 'expected "auto", "gui" or "poni"'),
        ({"method": "poni"}, CalibrationError, 'give start="some.poni"'),
        ({"start": None}, CalibrationError, "so the fit needs a start: give start=Nominal"),
        ({"start": Nominal(0.25)}, CalibrationError, "a nominal start needs a detector"),
        ({"start": "nowhere.poni"}, CalibrationError, "expected a PONI file"),
        ({"wavelength": 0.1663}, PonikeeperError, "looks like angstrom: write 1.663e-11"),
        ({"wavelength": None}, WavelengthError, "the wavelength is not known: give wavelength="),
        ({"num": 0}, CalibrationError, "expected a number of exposures"),
        ({"dark": "take"}, CalibrationError, "needs a shutter"),
        ({"dark": "5f0c"}, CalibrationError, "give the catalog that has it, db="),
        ({"label": "2 m"}, CalibrationError, "label"),
        ({"mask": "nowhere.npy"}, PonikeeperError, "cannot be read"),
        ({"calibs": []}, CalibrationError, "1 detectors and 0 calibs"),
        ({"output_dir": "/proc/nowhere"}, CalibrationError, "cannot be written"),
    ],
    ids=str,
)
def test_wrong_arguments_are_reported_before_anything_is_exposed(session, panel, options, error, says):
    with pytest.raises(error) as raised:
        session([panel], **options)
    assert says in str(raised.value)
    assert panel.exposures == 0
    assert panel.calib.read_snapshot().revision == 0


def test_mask_of_a_file_is_committed_as_path_and_hash(session, panel, frame, tmp_path):
    mask = tmp_path / "mask.npy"
    np.save(mask, np.eye(*frame.shape, dtype=np.uint8))
    session([panel], mask=mask, method="poni", start=TRUTH)
    provenance = panel.calib.read_snapshot().provenance
    assert provenance["files"] == {"mask": file_entry(mask)}
    assert "mask_array" not in provenance


def test_mask_of_an_array_is_recorded_as_shape_and_hash_of_the_masked_pixels(session, panel, frame):
    mask = np.eye(*frame.shape, dtype=np.float32) * 7
    session([panel], mask=mask, method="poni", start=TRUTH)
    provenance = panel.calib.read_snapshot().provenance
    assert provenance["mask_array"] == {
        "shape": list(frame.shape),
        "sha256": hashlib.sha256(np.eye(*frame.shape, dtype=np.uint8).tobytes()).hexdigest(),
    }
    assert "files" not in provenance


def test_fit_does_not_start_from_a_detector_whose_file_has_changed(session, panel, tmp_path):
    spline = tmp_path / "taper.spline"
    spline.write_bytes(b"before")
    panel.calib.set(replace(NEAR, detector="FReLoN", detector_config={"splineFile": str(spline)})).wait(20)
    before = file_entry(spline)["sha256"]
    spline.write_bytes(b"after")
    with pytest.raises(GeometryFileError, match=f"{file_entry(spline)['sha256']}.*{before}"):
        session([panel], start=None)
    assert panel.exposures == 0


def test_image_without_the_calibrant_commits_nothing_and_reports_what_to_do(session, panel, frame):
    panel.frames = [np.random.default_rng(0).poisson(50, frame.shape).astype(np.uint16)]
    with pytest.raises(CalibrationError) as raised:
        session([panel])
    text = str(raised.value)
    assert "nothing was activated" in text
    assert 'method="gui"' in text
    assert f"ponikeeper fit {session.folder / session.files('tiff')[0]}" in text
    (picture,) = session.files("png")
    assert f"with a picture of the fit, {picture}" in text
    assert (session.folder / picture).read_bytes().startswith(b"\x89PNG")
    assert panel.calib.read_snapshot().revision == 0
    assert session.documents["stop"][0]["exit_status"] == "success"  # the images are good documents


def test_flags_of_single_frames_do_not_get_into_the_average(session, panel, frame):
    """One frame has lost a block, another one has a dead one; over the pedestal both would be plausible averages."""
    frames = [frame.astype(np.int64) + 500 for _ in range(2)]
    frames[0][150:210, 150:210] = 2**32 - 1
    frames[1][350:410, 350:410] = -1
    panel.frames = frames
    result = session([panel], num=2)["pe1"]
    assert off_px(result.geometry, TRUTH) < RIGHT
    with fabio.open(result.files.image) as file:
        average = file.data
    assert average.max() < 2 * (frame.max() + 500)
    assert np.array_equal(average[170, 170:180], frames[1][170, 170:180].astype(np.float32))
    assert np.array_equal(average[370, 370:380], frames[0][370, 370:380].astype(np.float32))


def test_too_few_rings_are_reported_before_the_exposure_and_the_rejected_fit_leaves_its_picture(
    session, panel, shutter, recorder, capsys
):
    shown = []
    recorder.subscribe(lambda *_, **__: shown.append(capsys.readouterr().out), run=False)
    with pytest.raises(CalibrationError, match="with a picture of the fit"):
        session([panel], start=replace(TRUTH, dist=9.0), shutter=shutter)
    assert "pe1: Ni will have no rings on the panel that a fit can use, at least 3 are needed: use AgBh (" in shown[0]
    assert session.files("*") == [f"{session.uid}_pe1_image.{kind}" for kind in ("png", "tiff")]


def test_one_failure_does_not_lose_the_other_detector(session, panel, make, fresh_prefix, frame):
    blind = make(Panel, fresh_prefix().removesuffix("Calib:"), name="pe2")
    blind.frames = [np.zeros(SMALL, np.uint16)]
    with pytest.raises(CalibrationError, match="pe2: ") as raised:
        session([blind, panel])
    assert list(raised.value.results) == ["pe1"]
    assert panel.calib.read_snapshot().revision == 1
    assert blind.calib.read_snapshot().revision == 0


def test_images_come_from_the_function_of_the_user_and_the_progress_is_shown(session, panel, run_engine, frame, capsys):
    arguments = []

    def images(run_uid, key):
        arguments.append((run_uid, key))
        return np.stack([frame, frame])

    run_engine.waiting_hook = ProgressBarManager()
    try:
        session([panel], images=images)
    finally:
        run_engine.waiting_hook = None
    assert arguments == [(session.uid, "pe1_image")]
    shown = "".join(capsys.readouterr())
    assert "calibrate pe1: look for rings" in shown
    assert "will have" not in shown  # there are enough rings


class Held:
    """Images that are delivered when the test releases them."""

    def __init__(self, frame):
        self.frame, self.asked, self.go = frame, threading.Event(), threading.Event()

    def __call__(self, *_):
        self.asked.set()
        assert self.go.wait(30)
        return self.frame


def _interrupted(run_engine, held):
    """Pause the RunEngine, from a thread as Ctrl-C would, when the work has begun."""

    def pause():
        held.asked.wait(30)
        run_engine.request_pause()

    thread = threading.Thread(target=pause)
    thread.start()
    return thread


def test_pause_and_resume_repeat_neither_exposure_nor_commit(session, panel, run_engine, frame, shutter, recorder):
    held = Held(frame)
    thread = _interrupted(run_engine, held)
    with pytest.raises(RunEngineInterrupted):
        session([panel], images=held, shutter=shutter)
    thread.join()
    assert run_engine.state == "paused"
    assert recorder.puts == ["open", "closed"]
    held.go.set()
    run_engine.resume()
    assert panel.exposures == 1
    assert recorder.puts == ["open", "closed"]
    assert panel.calib.read_snapshot().revision == 1
    assert panel.calib.read_snapshot().serial == 1


def test_abort_commits_nothing_and_keeps_the_image(session, panel, run_engine, frame, shutter, recorder):
    held = Held(frame)
    thread = _interrupted(run_engine, held)
    with pytest.raises(RunEngineInterrupted):
        session([panel], images=held, shutter=shutter)
    thread.join()
    run_engine.abort()
    held.go.set()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "calibrate pe1"])
    assert recorder.puts == ["open", "closed"]
    assert panel.calib.read_snapshot().revision == 0
    assert session.files("tiff")


def test_shutter_that_does_not_open_fails_the_run_and_is_closed(session, panel, shutter, recorder):
    recorder.fails = "open"
    with pytest.raises(RuntimeError, match="does not get open"):
        session([panel], shutter=shutter)
    assert recorder.puts == ["open", "closed"]
    assert panel.exposures == 0
    assert panel.calib.read_snapshot().revision == 0


def test_shutter_is_closed_when_a_detector_fails(session, panel, shutter, recorder):
    def broken():
        raise RuntimeError("the detector does not answer")

    panel.meanwhile = broken
    with pytest.raises(RuntimeError, match="does not answer"):
        session([panel], shutter=shutter)
    assert recorder.puts == ["open", "closed"]


def test_killed_ioc_loses_no_geometry_and_the_error_has_the_command_to_put_it(session, make, make_ioc, frame):
    ioc = make_ioc().start()
    panel = make(Panel, ioc.prefix.removesuffix("Calib:"))
    panel.frames = [frame]

    def images(run_uid, key):
        ioc.kill()
        return frame

    with pytest.raises(CalibrationError) as raised:
        session([panel], images=images)
    stored = session.folder / session.files("poni")[0]
    assert f"ponikeeper put '{ioc.prefix}' {stored}" in str(raised.value)
    assert off_px(poni.read(stored.read_bytes()), TRUTH) < RIGHT
    ioc.start()
    wait_for(lambda: panel.calib.connected)
    assert panel.calib.read_snapshot().revision == 0


def test_refusal_of_the_ioc_is_reported_with_its_reasons(session, make, make_ioc, frame):
    limits = "[detector.limits]\ndist = [0.3, 3.0]\n"
    ioc = make_ioc(more={"{Det:1}Calib:": limits}).start()
    panel = make(Panel, ioc.prefix.removesuffix("Calib:"))
    panel.frames = [frame]
    with pytest.raises(CalibrationError, match="outside the limits of this detector"):
        session([panel])
    assert panel.calib.read_snapshot().revision == 0


def test_full_disk_commits_nothing_and_the_error_names_the_images(session, panel, small_disk):
    with pytest.raises(CalibrationError, match=r"could not be written \(No space left on device\)") as raised:
        session([panel], output_dir=small_disk)
    assert f"The images are in run {session.uid}" in str(raised.value)
    assert panel.calib.read_snapshot().revision == 0
    assert [path.name for path in small_disk.iterdir()] == []  # no half of a file


def test_images_come_from_the_catalog_of_the_session(session, panel, run_engine, tmp_path):
    with catalogs_of.serving(tmp_path / "tiled") as (_, catalog, _):
        token = run_engine.subscribe(TiledWriter(catalog))
        try:
            session([panel], db=catalog)
        finally:
            run_engine.unsubscribe(token)
    assert off_px(panel.calib.read_snapshot().geometry, TRUTH) < RIGHT


@pytest.fixture
def small_disk(make_small_disk):
    """A file system with space for a PONI, but not for an image."""
    return make_small_disk("1m")


def _image(path):
    import fabio

    with fabio.open(path) as file:
        return np.array(file.data)
