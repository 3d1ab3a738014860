"""`ponikeeper check`: whether a configuration can be served, seeds included."""

from pathlib import Path

import pytest

from configurations import MINIMAL, PONI, in_detector
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, commit


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
    _, _, first, warning, second = (line for line in done.stdout.splitlines() if "UDP port" not in line)
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


def test_check_says_what_the_store_has_and_which_history_has_no_detector(call, written, tmp_path):
    path = written(MINIMAL)
    prefix = MINIMAL.partition('[[detector]]\nprefix = "')[2].partition('"')[0]
    assert "  the store does not exist yet" in call("check", path, STATE_DIRECTORY=str(tmp_path)).stdout
    storage = SQLiteStorage(tmp_path / NAME)
    commit(storage, prefix, 1)
    commit(storage, "Other:", 1)
    done = call("check", path, STATE_DIRECTORY=str(tmp_path))
    storage.close()
    assert done.returncode == 0
    assert "  the store is served now\n" in done.stdout
    assert f"\n  {prefix}  0 links, 1 revision\n" in done.stdout
    assert "    warning: the store has a history of Other: (1 revision, the newest made " in done.stdout
    assert f"ponikeeper rename {path} Other: 'NEW PREFIX'" in done.stdout


def test_check_refuses_a_store_with_which_the_ioc_could_not_start(call, written, tmp_path):
    (tmp_path / NAME).write_bytes(bytes(200))
    done = call("check", written(MINIMAL), STATE_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert "its first bytes are not those of a store" in done.stderr
