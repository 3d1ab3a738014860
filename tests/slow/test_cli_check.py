"""`ponikeeper check`: whether a configuration can be served, seeds included."""

from pathlib import Path

import pytest

from configurations import MINIMAL, PONI, in_detector


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "28id1.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


SEEDED = in_detector('seed = "pe1.poni"\nlimits = {dist = [0.1, 3.0]}')


BAD_SEEDS = {
    "broken": ("poni_version: 2\nDistance: 0.25\n", "missing"),
    "out of the detector's limits": (PONI.replace("0.25", "4.0"), "dist 4.0 m is outside the limits of this detector"),
    "a slip within the built-in limits": (PONI.replace("Rot1: 0.0", "Rot1: 1.5"), "rot1 1.5 rad looks like degree"),
    "in another unit": (PONI.replace("1.6e-11", "0.16"), "wavelength 0.16 m looks like angstrom: write 1.6e-11"),
}


@pytest.mark.parametrize(("poni", "message"), BAD_SEEDS.values(), ids=BAD_SEEDS)
def test_check_reports_what_is_wrong_with_a_seed(call, written, tmp_path, poni, message):
    path = written(SEEDED)
    (tmp_path / "pe1.poni").write_text(poni)
    done = call("check", path, STATE_DIRECTORY=str(tmp_path))
    assert done.returncode == 2
    assert f'{path}: detector 1: seed = "pe1.poni": ' in done.stderr
    assert message in done.stderr


def test_check_reports_where_it_looked_for_a_seed(call, written, tmp_path):
    path = written(SEEDED)
    done = call("check", path, STATE_DIRECTORY=str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path}/pe1.poni: No such file or directory; expected a PONI file" in done.stderr


def test_check_accepts_a_seed_and_says_so(call, written, tmp_path):
    path = written(SEEDED)
    (tmp_path / "pe1.poni").write_text(PONI)
    done = call("check", path, STATE_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK, 1 detector, " in done.stdout
    assert "seed pe1.poni" in done.stdout
    assert not (tmp_path / "ponikeeper.sqlite").exists()


def test_check_warns_of_each_detector_without_limits(call, written, tmp_path):
    path = written(MINIMAL + '[[detector]]\nprefix = "limited:"\nlimits = {dist = [0.1, 3.0]}\n')
    done = call("check", path, STATE_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    _, first, warning, second = done.stdout.splitlines()
    assert "limited:" in second
    assert "limited:" not in first
    assert "warning: no limits" in warning
    assert "write [detector.limits] with such as dist = [0.1, 3.0]" in warning


def test_check_without_a_place_for_the_store_is_refused(call, written):
    done = call("check", written(MINIMAL))
    assert done.returncode == 2
    assert "STATE_DIRECTORY is not set" in done.stderr


def test_check_reports_each_problem_on_a_line_of_its_own(call, written):
    done = call("check", written('[ioc]\nprefix = "a"\nprot = 1\nport = 0\n[[detector]]\nprefix = "b:"\n'))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
