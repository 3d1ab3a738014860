"""`ponikeeper fit`: reads files, writes a PONI and a figure, and commits the result or refuses it."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from live import DETECTORS, wait_for
from ponikeeper.geometry import poni
from powder import Scene, off_px, on_detector, two_theta
from shell import Shell
from speak import commit_text, counters, get, request, snapshot
from terminals import Terminal

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
SCENE = Scene(TRUTH, "LaB6", counts=300)
START = replace(
    TRUTH, dist=TRUTH.dist * 1.03, poni1=TRUTH.poni1 + 2e-3, poni2=TRUTH.poni2 - 2e-3, rot1=TRUTH.rot1 - 0.01
)
RIGHT = 0.1
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def call():
    """Run a command to its end."""
    with Shell("ponikeeper_client.fit.command", "pyFAI.calibrant", "fabio", "matplotlib.backends.backend_agg") as shell:
        yield shell


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write an image, the same with a dark added and a bad edge, and dark, mask and start; tests only read them."""
    folder = tmp_path_factory.mktemp("files")
    image = SCENE.image()
    dark = np.random.default_rng(2).integers(0, 2000, image.shape).astype(np.int32)
    np.save(folder / "image.npy", image)
    np.save(folder / "dark.npy", dark)
    hidden = np.zeros(image.shape, np.uint8)
    hidden[:, -60:] = 1
    np.save(folder / "mask.npy", hidden)
    spoilt = image + dark
    spoilt[:, -60::7] = 50_000
    np.save(folder / "spoilt.npy", spoilt)
    (folder / "start.poni").write_text(poni.write(START))
    return folder


@pytest.fixture
def fit(call, files):
    def run(image, *words, calibrant="LaB6"):
        return call("fit", files / image, "--calibrant", calibrant, *words)

    return run


def nothing_written(folder):
    return [path.name for path in folder.iterdir()] == []


def plain(text):
    """Join the lines that a narrow terminal broke."""
    return " ".join(text.split())


def test_from_a_start_it_writes_poni_and_picture(fit, files, tmp_path):
    output = tmp_path / "new.poni"
    done = fit("image.npy", "--start", files / "start.poni", "-o", output)
    assert done.returncode == 0, done.stderr
    result = poni.read(output.read_bytes())
    assert off_px(TRUTH, result) < RIGHT
    fitted = {name: getattr(result, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2")}
    assert result == replace(START, **fitted)
    assert (tmp_path / "new.png").read_bytes().startswith(PNG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.png", "new.poni"]
    for word in ("dist", "sigma", "change", "LaB6", "residual", "start.poni"):
        assert word in plain(done.stdout), word


def test_from_a_distance_a_detector_and_a_centre(fit, prefix, tmp_path):
    y, x = np.unravel_index(two_theta(TRUTH).argmin(), two_theta(TRUTH).shape)
    output = tmp_path / "new.poni"
    done = fit(
        *("image.npy", "--dist", 0.17, "--detector", "Pilatus300k", "--centre", f"{y + 15},{x - 15}"),
        *("--wavelength", 4e-11, "--orientation", 3, "-o", output, "--put", prefix),
    )
    assert done.returncode == 0, done.stderr
    assert off_px(TRUTH, poni.read(output.read_bytes())) < RIGHT
    assert snapshot(prefix)["provenance"]["wavelength_from"] == "argument"


def test_a_dark_is_subtracted_and_what_is_masked_does_not_count(fit, files, tmp_path):
    output = tmp_path / "new.poni"
    hidden = ("--dark", files / "dark.npy", "--mask", files / "mask.npy")
    done = fit("spoilt.npy", *hidden, "--start", files / "start.poni", "-o", output)
    assert done.returncode == 0, done.stderr
    assert off_px(TRUTH, poni.read(output.read_bytes())) < RIGHT


def test_it_is_committed_with_its_provenance(fit, files, prefix, tmp_path):
    output = tmp_path / "new.poni"
    done = fit("image.npy", *("--start", files / "start.poni", "-o", output, "--put", prefix, "--label", "near"))
    assert done.returncode == 0, done.stderr
    assert f"{prefix} revision 1 is active (serial 1) and may be used: UNWATCHED, no links" in plain(done.stdout)
    wait_for(lambda: snapshot(prefix)["revision"] == 1)
    stored = snapshot(prefix)
    written = poni.read(output.read_bytes())
    assert stored["geometry"] == written.as_dict()
    assert stored["label"] == "near"
    reported = stored["provenance"]
    assert (reported["method"], reported["calibrant"]) == ("fit", "LaB6")
    assert reported["image_sha256"] == hashlib.sha256((files / "image.npy").read_bytes()).hexdigest()
    assert 0 < reported["residual_px"] < 0.3
    assert reported["n_points"] > 100
    assert set(reported["sigma"]) == {"dist", "poni1", "poni2", "rot1", "rot2", "wavelength"}
    assert "start.poni" in reported["wavelength_from"]


def test_mask_is_committed_as_path_and_hash(fit, files, prefix):
    mask = files / "mask.npy"
    done = fit("image.npy", "--start", files / "start.poni", "--mask", mask, "--put", prefix)
    assert done.returncode == 0, done.stderr
    entry = {"path": str(mask), "sha256": hashlib.sha256(mask.read_bytes()).hexdigest()}
    assert snapshot(prefix)["provenance"]["files"] == {"mask": entry}


@pytest.fixture
def linked(make_ioc, motors):
    """Prefix of a detector that is linked to a motor, which is at rest."""
    more = {DETECTORS[0]: f"settle = 0.2\n{motors.link('z', 'Z:RBV')}"}
    prefix = make_ioc(more=more, other_ports=(motors.port,)).start().prefixes[0]
    wait_for(lambda: json.loads(get(f"{prefix}Links_RBV"))["links"][0]["moving"] is False)
    return prefix


def test_commit_says_whether_it_applies_and_asks_at_a_terminal(fit, files, linked):
    words = ("--start", files / "start.poni", "--put", linked)
    scripted = plain(fit("image.npy", *words).stdout)
    assert f"{linked} revision 1 is active (serial 1) but does not apply: UNKNOWN, the position of" in scripted
    assert f"then type: ponikeeper record-position '{linked}'" in scripted
    late = fit("image.npy", *words, "--no-position", "--wait", "--timeout", 0.5)
    assert late.returncode == 1
    assert "timed out after 0.5 s waiting until the geometry" in plain(late.stderr)
    with Terminal("fit", files / "image.npy", "--calibrant", "LaB6", *words, "--wait") as terminal:
        terminal.read_until("Was this geometry calibrated at this position? [y/n]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert "and may be used: VALID\nposition: z 1000.0 mm\n" in terminal.shown
    assert snapshot(linked)["status"] == "VALID"


def test_rejected_fit_is_neither_written_nor_put(fit, files, prefix, tmp_path):
    assert request(prefix, commit_text("before"))["revision"] == 1
    before, counted = snapshot(prefix), counters(prefix)
    words = ("--start", files / "start.poni", "-o", tmp_path / "no.poni", "--put", prefix)
    failed(fit("image.npy", *words, calibrant="Ni"), "not this standard", tmp_path)
    assert (snapshot(prefix), counters(prefix)) == (before, counted)


def test_a_put_that_cannot_be_made_is_reported(fit, files, prefix, tmp_path):
    assert request(prefix, commit_text("before"))["revision"] == 1
    done = fit("image.npy", "--start", files / "start.poni", "--put", prefix, "--label", "no label")
    failed(done, "label", tmp_path)
    assert snapshot(prefix)["revision"] == 1


MISTAKES = {
    "wavelength in angstrom": (("--wavelength", 0.4), "looks like angstrom: write 4e-11"),
    "unknown calibrant": (("--calibrant", "lab6"), "did you mean LaB6?"),
    "missing mask": (("--mask", "none.npy"), "No such file"),
    "missing dark": (("--dark", "none.npy"), "No such file"),
    "start and distance": (("--dist", 0.2), "omit --dist, --centre and --orientation"),
    "label without put": (("--label", "near"), "--label is about the commit of the geometry: it needs --put"),
    "position without put": (("--here",), "--here is about the commit of the geometry: it needs --put"),
    "both positions": (("--put", "P:", "--here", "--no-position"), "--here and --no-position contradict each other"),
    "time limit without wait": (("--put", "P:", "--timeout", 3), "expected --wait, and seconds"),
    "unknown option": (("--wavelenght", 4e-11), "No such option"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_usage_error_is_reported(fit, files, tmp_path, name):
    words, message = MISTAKES[name]
    done = fit("image.npy", "--start", files / "start.poni", "-o", tmp_path / "no.poni", *words)
    failed(done, message, tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --start PONI, or --dist 0.25 --detector Perkin"),
        (("--dist", 0.2), "give --start PONI, or --dist 0.25 --detector Perkin"),
        (("--dist", 0.2, "--detector", "Pilatus300k"), "--wavelength is missing"),
        (("--dist", 0.2, "--detector", "Pilatus300k", "--centre", "middle", "--wavelength", 4e-11), "expected y,x"),
        (("--dist", 0.2, "--detector", "Unheard", "--wavelength", 4e-11), "Unheard"),
        (("--dist", -0.2, "--detector", "Pilatus300k", "--wavelength", 4e-11), "dist -0.2 m is out of range"),
        (("--start", "none.poni"), "none.poni: No such file"),
    ],
)
def test_start_that_is_missing_or_incomplete_is_reported(fit, tmp_path, words, said):
    failed(fit("image.npy", "-o", tmp_path / "no.poni", *words), said, tmp_path)


def test_an_image_that_is_missing_or_has_another_shape_is_reported(fit, files, tmp_path):
    np.save(files / "small.npy", np.zeros((10, 10)))
    begin = ("--start", files / "start.poni", "-o", tmp_path / "no.poni")
    failed(fit("none.tiff", *begin), "No such file", tmp_path)
    failed(fit("image.npy", *begin, "--dark", files / "small.npy"), "has shape (10, 10)", tmp_path)
    failed(fit("image.npy", *begin, "--mask", files / "small.npy"), "mask has shape (10, 10)", tmp_path)


def failed(done, said, folder):
    """Check that the command failed with a message instead of a traceback, and wrote nothing."""
    assert done.returncode != 0
    assert said in plain(done.stderr), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert nothing_written(folder)


@pytest.mark.campaign  # it waits for ten seconds
def test_an_ioc_that_does_not_answer_leaves_the_file(fit, files, tmp_path):
    output = tmp_path / "new.poni"
    done = fit("image.npy", "--start", files / "start.poni", "-o", output, "--put", "NoSuchIoc:")
    assert done.returncode != 0
    assert "NoSuchIoc:Snapshot_RBV does not answer" in plain(done.stderr)
    assert off_px(TRUTH, poni.read(output.read_bytes())) < RIGHT


def test_the_help_states_units(call):
    done = call("fit", "--help", COLUMNS="200")
    assert done.returncode == 0
    for word in ("--wavelength", "in m", "y,x (px)", "--put", "--label"):
        assert word in done.stdout
