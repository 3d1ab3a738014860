"""Models say the same with other Pythons, and on processors without fused multiply-add."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import chains
from live import TIMEOUT
from ponikeeper.geometry.kinematics import Model
from ponikeeper.text import strictjson

EXACT = 1e-12
IOCS = Path(__file__).parents[2] / "iocs"
VERSIONS = ("3.11", "3.12", "3.13")

CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ponikeeper.geometry.kinematics import Model
rows = []
for values, positions in json.load(sys.stdin):
    model = Model.parse(values)
    for position in positions:
        found = model.evaluate(position)
        rows.append([*found.geometry.as_dict().values()][:9] + [found.rms_px, found.accuracy, *found.sigma.values()])
json.dump(rows, sys.stdout)
"""

NO_FMA = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX2_Usable,-FMA_Usable,-FMA4_Usable",
}


@pytest.fixture(scope="module")
def cases():
    """Models of all kinds with positions."""
    made = [chains.model(chains.chain(kind, seed)) for kind in chains.KINDS for seed in range(5)]
    return [(model.as_dict(), chains.positions(model.chain, 1, 20)) for model in made]


@pytest.fixture(scope="module")
def here(cases):
    return computed(sys.executable, cases)


def computed(python, cases, environment=None):
    """Evaluate all cases with a Python; it needs no library."""
    done = subprocess.run(
        [python, "-I", "-S", "-c", CODE, str(IOCS)],
        input=strictjson.dumps(cases),
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def pythons():
    """Find other supported Pythons of this machine."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    other = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return {
        version: found[-1]
        for version in VERSIONS
        if version != other and (found := sorted(root.glob(f"{version}.*/bin/python")))
    }


def largest_difference(rows, others):
    """Compare values (m, rad; relative where they are larger than 1); print how many differ in their last bits."""
    pairs = [(one, two) for row, other in zip(rows, others, strict=True) for one, two in zip(row, other, strict=True)]
    print(f"{sum(one != two for one, two in pairs)} of {len(pairs)} values differ in the last bits")
    return max(abs(one - two) / max(1.0, abs(one)) for one, two in pairs)


@pytest.mark.parametrize("version", VERSIONS)
def test_other_pythons_agree(version, cases, here):
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        other = sys.executable
    elif (other := pythons().get(version)) is None:
        pytest.skip(f"Python {version} is not installed in pyenv")
    assert largest_difference(here, computed(other, cases)) <= EXACT


def test_without_fused_multiply_add_it_is_the_same(cases, here):
    assert largest_difference(here, computed(sys.executable, cases, NO_FMA)) <= EXACT


def test_other_process_has_what_this_one_has(cases, here):
    first, positions = cases[0]
    model = Model.parse(json.loads(strictjson.dumps(first)))
    assert [model.evaluate(position).geometry.dist for position in positions] == [row[0] for row in here[:20]]


def test_evaluation_uses_nothing_that_differs_between_pythons():
    """`sum` is compensated from 3.12 on, `math.hypot` has its own algorithm, `fma` came with 3.13."""
    words = ("sum(", "hypot", "fsum", "sumprod", "fma(", "numpy")
    folder = IOCS / "ponikeeper" / "geometry" / "kinematics"
    code = {path.name: path.read_text().partition('"""\n')[2] for path in folder.glob("*.py")}
    assert code
    assert {name: word for name, text in code.items() for word in words if word in text} == {}
