"""`ponikeeper fit`: reads files, writes a PONI and a figure, and commits the result or refuses it."""

import hashlib
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from live import DETECTORS, wait_for
from ponikeeper.geometry import poni
from powder import Scene, lines_of, off_px, on_detector, two_theta
from speak import commit_text, counters, get, request, snapshot


def displaced(truth):
    """Return a geometry to start from."""
    return replace(
        truth, dist=truth.dist * 1.03, poni1=truth.poni1 + 2e-3, poni2=truth.poni2 - 2e-3, rot1=truth.rot1 - 0.01
    )


TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
SCENE = Scene(TRUTH, "LaB6", counts=300)
START = displaced(TRUTH)
ONE_MODULE = on_detector("Pilatus100k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
"""A smaller panel, for the fits that are rejected: a search in vain takes ten times as long as a fit."""

ENERGY = 12.398419843320026 / 0.4
"""That of the wavelength of 4e-11 m (keV)."""

RIGHT = 0.1
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def call(call_heavy):
    return call_heavy


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
    np.save(folder / "module.npy", Scene(ONE_MODULE, "LaB6", counts=300).image())
    (folder / "module.poni").write_text(poni.write(displaced(ONE_MODULE)))
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
    digest = hashlib.sha256((files / "image.npy").read_bytes()).hexdigest()
    assert f"# image image.npy, sha256 {digest}\n" in output.read_text()
    assert "# fitted to LaB6: residual 0.0" in output.read_text()
    assert f"wrote {output}" in plain(done.stdout)
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


def test_nothing_is_known_but_image_standard_energy_and_detector(fit, tmp_path):
    """The image has the detector's gaps; nothing says where the detector stands."""
    output = tmp_path / "new.poni"
    done = fit("image.npy", "--energy", ENERGY, "--detector", "Pilatus300k", "-o", output)
    assert done.returncode == 0, done.stderr
    assert off_px(TRUTH, poni.read(output.read_bytes())) < RIGHT
    assert "started from no distance" in plain(done.stdout)


def test_a_pixel_size_is_enough_of_a_detector(fit, tmp_path):
    """The gaps are marked in the image; the result can be read without knowing the detector."""
    output = tmp_path / "new.poni"
    done = fit("image.npy", "--energy", ENERGY, "--pixel", 1.72e-4, "--dist", 0.16, "-o", output)
    assert done.returncode == 0, done.stderr
    result = poni.read(output.read_bytes())
    assert (result.detector, result.detector_config["max_shape"]) == ("Detector", SCENE.image().shape)
    assert off_px(TRUTH, replace(result, detector="Pilatus300k", detector_config={"orientation": 3})) < RIGHT


def test_a_tilt_is_a_start(fit, files, tmp_path):
    truth = on_detector("Pilatus100k", 1.72e-4, 0.15, (0.45, 0.55), (30, -8), 4e-11)
    np.save(files / "tilted.npy", Scene(truth, "LaB6", counts=300).image())
    words = ("--energy", ENERGY, "--detector", "Pilatus100k", "--dist", 0.16, "-o", tmp_path / "new.poni")
    assert fit("tilted.npy", *words, "--tilt", "25,-5").returncode == 0
    assert off_px(truth, poni.read((tmp_path / "new.poni").read_bytes())) < RIGHT
    assert "far from the start" in plain(fit("tilted.npy", *words, "--tilt", "5,-5").stderr)


def test_several_images_and_darks_are_averaged_over_their_valid_pixels(fit, files, prefix, tmp_path):
    """Each frame has the pedestal of the darks, and -1 in the gaps: a plausible number once it is averaged."""
    random, image = np.random.default_rng(4), SCENE.image()
    names = [files / f"{kind}{number}.npy" for kind in ("light", "dark") for number in range(3)]
    for name in names:
        pedestal = random.normal(900, 5, image.shape)
        frame = np.where(
            image < 0, -1, pedestal + (random.poisson(np.maximum(image, 0)) if "light" in name.name else 0)
        )
        if name.name == "light1.npy":
            frame[100:140, 200:240] = 2**31 - 1  # lost in one frame
        np.save(name, frame.astype(np.int32))
    darks = [word for name in names[3:] for word in ("--dark", name)]
    output = tmp_path / "new.poni"
    words = ("--pixel", 1.72e-4, "--energy", ENERGY, "--dist", 0.16)
    done = fit(names[0], *names[1:3], *darks, *words, "-o", output, "--put", prefix)
    assert done.returncode == 0, done.stderr
    result = replace(poni.read(output.read_bytes()), detector="Pilatus300k", detector_config={"orientation": 3})
    assert off_px(TRUTH, result) < RIGHT
    reported = snapshot(prefix)["provenance"]
    assert (reported["image"], reported["dark"]) == (
        "light0.npy, light1.npy, light2.npy", "dark0.npy, dark1.npy, dark2.npy",
    )  # fmt: skip
    hashes = "".join(hashlib.sha256(name.read_bytes()).hexdigest() + "\n" for name in names[3:])
    assert reported["dark_sha256"] == hashlib.sha256(hashes.encode()).hexdigest()


def test_a_nexus_file_is_fitted_by_the_path_in_it(fit, files, tmp_path):
    with h5py.File(files / "scan.nxs", "w") as file:
        file["entry/a"], file["entry/b"] = SCENE.image(), np.zeros((3, 4, 5))
    output = tmp_path / "new.poni"
    done = fit("scan.nxs::/entry/a", "--start", files / "start.poni", "-o", output)
    assert done.returncode == 0, done.stderr
    assert off_px(TRUTH, poni.read(output.read_bytes())) < RIGHT
    assert "# image scan.nxs::/entry/a, sha256 " in output.read_text()


def test_files_that_are_replaced_are_named_and_asked_for_at_a_terminal(call, fit, files, tmp_path):
    output = tmp_path / "new.poni"
    output.write_text("before")
    words = ("--start", files / "start.poni", "-o", output)
    with call.at_terminal("fit", files / "image.npy", "--calibrant", "LaB6", *words) as terminal:
        terminal.read_until(f"{output} exists: replace it? [y/n]")
        terminal.type("n\n")
        assert terminal.end() == 2
    assert "nothing was fitted or written: choose another name" in plain(terminal.shown)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("new.poni", "before")]
    done = fit("image.npy", *words)
    assert done.returncode == 0, done.stderr
    assert f"wrote {output} (replaced)" in plain(done.stdout)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none/new.poni", "does not exist: make it, mkdir -p"),
        ("new.png", "expected the name of a PONI file, such as new.poni"),
        (".", "expected the name of a PONI file, such as new.poni"),
        ("-", "expected the name of a PONI file, such as new.poni"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_the_fit(fit, files, tmp_path, name, said):
    """The image is not even read: it does not exist."""
    output = name if name == "-" else tmp_path / name
    failed(fit("missing.npy", "--start", files / "start.poni", "-o", output), said, tmp_path)


def test_plan_lists_the_rings_on_the_panel_and_the_best_standards(call, files):
    words = ("fit", "--plan", "--detector", "Pilatus300k", "--energy", ENERGY)
    done = call(*words, "--dist", 0.15, "--calibrant", "LaB6", COLUMNS="120")
    assert done.returncode == 0, done.stderr
    assert "LaB6 at 150 mm: " in done.stdout
    first = next(line for line in done.stdout.splitlines() if line.split()[1:2] == ["1"])
    angle = np.degrees(lines_of("LaB6", 4e-11)[0])
    assert first.split()[3:9:2] == ["4.1568", f"{angle:.4f}", f"{0.15 * np.tan(np.radians(angle)) / 1.72e-4:.0f}"]
    assert "best standards here" in done.stdout
    far = call(*words, "--dist", 2, "--calibrant", "LaB6")
    assert far.returncode == 1
    assert "LaB6 will have no rings on the panel that a fit can use, at least 3 are needed: use AgBh (" in far.stderr
    started = call("fit", "--plan", "--start", files / "start.poni", "--calibrant", "LaB6")
    assert started.returncode == 0, started.stderr
    without = call(*words, "--dist", 2)
    assert (without.returncode, "AgBh" in without.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--detector", "Perkin", "--energy", 31), "--plan needs the distance: give --dist 0.25 (m)"),
        (("--detector", "Perkin", "--dist", 0.2), "--energy is missing: expected keV"),
        (("--pixel", 1e-4, "--dist", 0.2, "--energy", 31), "the size of the detector is not known: give one of its"),
        (("--detector", "Unheard", "--dist", 0.2, "--energy", 31), "Unheard is not in the table of detectors"),
        (("--detector", "Perkin", "--dist", 0.2, "--energy", 31, "--calibrant", "lab6"), "did you mean LaB6?"),
    ],
)
def test_plan_says_what_is_missing(call, words, said):
    done = call("fit", "--plan", *words)
    assert done.returncode == 2
    assert said in plain(done.stderr)


def test_plan_takes_the_shape_of_an_image(call, files):
    words = ("--pixel", 1.72e-4, "--dist", 0.15, "--energy", ENERGY, "--calibrant", "LaB6")
    done = call("fit", "--plan", files / "image.npy", *words)
    assert done.returncode == 0, done.stderr


def test_standard_and_image_are_never_guessed(call, files, tmp_path):
    done = call("fit", files / "image.npy", "--start", files / "start.poni", "-o", tmp_path / "no.poni")
    failed(done, "--calibrant is missing: expected the powder standard in the beam", tmp_path)
    done = call("fit", "--calibrant", "LaB6", "--start", files / "start.poni")
    failed(done, "the image is missing: ponikeeper fit IMAGE", tmp_path)


def test_progress_is_shown_at_a_terminal_only(call, fit, files):
    words = ("fit", files / "image.npy", "--calibrant", "LaB6", "--start", files / "start.poni")
    with call.at_terminal(*words) as terminal:
        assert terminal.end() == 0
    assert "read the images" in terminal.shown
    assert fit("image.npy", *words[4:]).stderr == ""


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
    assert (reported["image"], "dark" in reported) == ("image.npy", False)
    assert 0 < reported["residual_px"] < 0.3
    assert reported["n_points"] > 100
    assert set(reported["sigma"]) == {"dist", "poni1", "poni2", "rot1", "rot2", "wavelength"}
    assert "start.poni" in reported["wavelength_from"]


def test_a_fit_that_is_committed_assumes_the_errors_of_the_ioc(fit, files, make_ioc):
    own = {"wavelength": 0.001, "distortion": 0.2, "distortion_length": 0.25}
    keys = "wavelength_sigma = 0.001\ndistortion = 0.2\ndistortion_length = 0.25"
    prefix = make_ioc(more={DETECTORS[0]: keys}).start().prefixes[0]
    words = ("image.npy", "--start", files / "start.poni", "--put", prefix)
    assert fit(*words).returncode == 0
    assert snapshot(prefix)["provenance"]["assumed"] == own
    assert fit(*words, "--wavelength-sigma", 2e-3).returncode == 0
    wait_for(lambda: snapshot(prefix)["revision"] == 2)
    assert snapshot(prefix)["provenance"]["assumed"] == {**own, "wavelength": 2e-3}


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


def test_commit_says_whether_it_applies_and_asks_at_a_terminal(call, fit, files, linked):
    words = ("--start", files / "start.poni", "--put", linked)
    scripted = plain(fit("image.npy", *words).stdout)
    assert f"{linked} revision 1 is active (serial 1) but does not apply: UNKNOWN, the position of" in scripted
    assert f"then type: ponikeeper record-position '{linked}'" in scripted
    late = fit("image.npy", *words, "--no-position", "--wait", "--timeout", 0.5)
    assert late.returncode == 1
    assert "timed out after 0.5 s waiting until the geometry" in plain(late.stderr)
    with call.at_terminal("fit", files / "image.npy", "--calibrant", "LaB6", *words, "--wait") as terminal:
        terminal.read_until("Was this geometry calibrated at this position? [y/n]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert "and may be used: VALID\nposition: z 1000.0 mm\n" in terminal.shown
    assert snapshot(linked)["status"] == "VALID"


def test_rejected_fit_is_neither_written_nor_put_and_names_the_standard_in_the_beam(fit, files, prefix, tmp_path):
    assert request(prefix, commit_text("before"))["revision"] == 1
    before, counted = snapshot(prefix), counters(prefix)
    words = ("--start", files / "module.poni", "-o", tmp_path / "no.poni", "--put", prefix)
    done = fit("module.npy", *words, calibrant="Ni")
    assert done.returncode == 1
    assert "not this standard" in plain(done.stderr)
    assert "looks like LaB6 (0.0" in plain(done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["no.rejected.png"]
    assert (tmp_path / "no.rejected.png").read_bytes().startswith(PNG)
    assert f"wrote {tmp_path / 'no.rejected.png'}" in plain(done.stdout)
    assert (snapshot(prefix), counters(prefix)) == (before, counted)


def test_auto_finds_the_standard_in_the_beam(fit, files, prefix, tmp_path):
    words = ("--start", files / "start.poni", "-o", tmp_path / "new.poni", "--put", prefix)
    done = fit("image.npy", *words, calibrant="auto")
    assert done.returncode == 0, done.stderr
    assert off_px(TRUTH, poni.read((tmp_path / "new.poni").read_bytes())) < RIGHT
    assert "# fitted to LaB6: " in (tmp_path / "new.poni").read_text()
    assert "calibrant LaB6" in plain(done.stdout.replace("│", " "))
    assert snapshot(prefix)["provenance"]["calibrant"] == "LaB6"


def test_image_without_rings_is_drawn(fit, files, tmp_path):
    np.save(files / "noise.npy", np.random.default_rng(0).poisson(50, (195, 487)))
    done = fit("noise.npy", "--start", files / "module.poni", "-o", tmp_path / "no.poni")
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["no.rejected.png"]


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
    "start and distance": (
        ("--dist", 0.2, "--tilt", "1,2"),
        "--start is a whole geometry already: omit --dist and --tilt",
    ),
    "label without put": (("--label", "near"), "--label is about the commit of the geometry: it needs --put"),
    "position without put": (("--here",), "--here is about the commit of the geometry: it needs --put"),
    "both positions": (("--put", "P:", "--here", "--no-position"), "--here and --no-position contradict each other"),
    "time limit without wait": (("--put", "P:", "--timeout", 3), "expected --wait, and seconds"),
    "energy in eV": (("--energy", 31000), "--energy 31000.0 keV looks like eV: write 31"),
    "energy and wavelength": (("--energy", 31, "--wavelength", 4e-11), "--wavelength and --energy are both given"),
    "missing dataset": (("--dark", "none.h5::/a"), "none.h5 cannot be read"),
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
        ((), "the detector is not known: give --detector Perkin (pyFAI's name) or --pixel 2e-4 (m)"),
        (("--dist", 0.2), "the detector is not known"),
        (("--dist", 0.2, "--detector", "Pilatus300k"), "--energy is missing: expected keV, such as 74.55"),
        (("--centre", "3,4", "--detector", "Pilatus300k"), "--centre and --tilt belong to a start at a known distance"),
        (
            ("--dist", 0.2, "--pixel", 172, "--energy", 31),
            "--pixel 172: pixel1 172.0 m looks like micrometre",
        ),
        (("--dist", 0.2, "--pixel", "1e-4,x"), "--pixel 1e-4,x: expected the side of a pixel in m"),
        (("--dist", 0.2, "--pixel", "nan"), "--pixel nan: expected the side of a pixel in m"),
        (("--dist", 0.2, "--pixel", 1e-4, "--tilt", 5), "--tilt 5: expected rotations 1 and 2 in deg, such as 0,-20"),
        (("--dist", 0.2, "--pixel", 1e-4, "--tilt", "5,100"), "each between -90 and 90"),
        (("--dist", 0.2, "--pixel", 1e-4, "--orientation", 5), "--orientation 5: expected 1, 2, 3 or 4"),
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
    nowhere = fit("missing.npy", "--start", files / "start.poni", "--put", "NoSuchIoc:")
    assert "NoSuchIoc:Snapshot_RBV does not answer" in plain(nowhere.stderr), "without a file it fails before the fit"


def test_the_help_states_units(call):
    done = call("fit", "--help", COLUMNS="200")
    assert done.returncode == 0
    for word in ("--wavelength", "in m", "y,x (px)", "--put", "--label"):
        assert word in done.stdout
