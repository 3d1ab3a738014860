"""The command line against a live IOC: texts, JSON, exit codes, the reasons of the IOC."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from live import TIMEOUT, wait_for
from ponikeeper.geometry import Geometry, poni
from speak import GEOMETRY, commit_text, get, put, request, results, snapshot

FIT = {"method": "fit", "calibrant": "Ni", "author": "alice@beamline.example.org", "residual_px": 0.04}
UNWATCHED = "UNWATCHED, no links are configured: nothing checks this geometry"
OTHER = Geometry.parse({**GEOMETRY, "dist": 0.31, "detector_config": {"orientation": 3}})


@pytest.fixture(scope="module")
def calibrated(fresh_prefix):
    """Prefix of a detector with two revisions, near and far; every test leaves them active."""
    prefix = fresh_prefix()
    assert request(prefix, commit_text("one", provenance=FIT, label="near"))["revision"] == 1
    values = {"dist": 0.9, "wavelength": 1.7e-11}
    assert request(prefix, commit_text("two", geometry=values, provenance=FIT, label="far"))["revision"] == 2
    wait_for(lambda: '"revision": 2' in get(f"{prefix}History:List_RBV"))
    return prefix


def test_get_gives_the_poni_and_get_json_the_snapshot(call, calibrated, tmp_path):
    file = tmp_path / "out.poni"
    text, whole, written = [
        call(*words) for words in (("get", calibrated), ("get", calibrated, "--json"), ("get", calibrated, "-o", file))
    ]
    assert [done.returncode for done in (text, whole, written)] == [0, 0, 0]
    in_force = Geometry.parse(snapshot(calibrated)["geometry"])
    assert poni.read(text.stdout) == poni.read(file.read_bytes()) == in_force
    assert json.loads(whole.stdout) == snapshot(calibrated)
    assert written.stdout == ""


def test_show_history_and_diff_print_text_and_json(call, calibrated):
    show, show_json, history, history_json, diff, diff_json = [
        call(*words)
        for words in (
            ("show", calibrated),
            ("show", calibrated, "--json"),
            ("history", calibrated),
            ("history", calibrated, "--json"),
            ("diff", calibrated, 1, 2),
            ("diff", calibrated, 1, 2, "--json"),
        )
    ]
    assert {done.returncode for done in (show, show_json, history, history_json, diff, diff_json)} == {0}
    for word in ("UNWATCHED", "2 (far)", "serial 2", "0.9 m", "0.17 angstrom", "72.9319 keV", "Perkin", "alice@"):
        assert word in show.stdout, word
    assert json.loads(show_json.stdout) == snapshot(calibrated)
    assert [row["revision"] for row in json.loads(history_json.stdout)["revisions"]] == [2, 1]
    assert "+0.6655 m" in diff.stdout
    assert "near" in diff.stdout
    assert "poni1" not in diff.stdout
    assert [one["revision"] for one in json.loads(diff_json.stdout)] == [1, 2]


def test_history_is_readable_in_80_columns(call, calibrated):
    lines = call("history", calibrated).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if " fit " in line]
    assert len(rows) == 2  # no cell is folded
    created = snapshot(calibrated)["activated"][:16].replace("T", " ")
    for word in ("2 ", "far", "900", "0.17", "Ni", "0.04", "alice", created):
        assert word in rows[0], word


def test_tables_have_the_same_content_without_a_terminal_and_in_a_narrow_one(call, calibrated):
    narrow = call("show", calibrated, COLUMNS="60")
    assert narrow.returncode == 0
    assert max(map(len, narrow.stdout.splitlines())) <= 60
    assert "\x1b[" not in narrow.stdout


def test_put_sends_all_its_options(call, prefix, tmp_path):
    file = tmp_path / "near.poni"
    file.write_text(poni.write(OTHER))
    words = ("--label", "near", "--comment", "after the bake", "--calibrant", "LaB6", "--here", "--expect-revision", 0)
    done = call("put", prefix, file, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{prefix} revision 1 is active (serial 1) and may be used: {UNWATCHED}\n"
    record = snapshot(prefix)
    assert Geometry.parse(record["geometry"]) == OTHER
    assert (record["label"], record["position"]) == ("near", {})
    assert record["provenance"] == {
        "method": "poni", "calibrant": "LaB6", "comment": "after the bake", "author": record["provenance"]["author"],
    }  # fmt: skip
    again = call("put", prefix, file, "--expect-revision", 0)
    assert again.returncode == 1
    assert "expect_revision 0 is outdated: revision 1 is active" in again.stderr
    assert again.stdout == ""
    unlabelled = call("put", prefix, file, "--json")
    assert json.loads(unlabelled.stdout).items() >= results(prefix)[0].items()
    assert (snapshot(prefix)["label"], snapshot(prefix)["position"]) == (None, None)


def test_put_of_a_file_without_a_wavelength_takes_it_from_an_option(call, prefix, tmp_path):
    file, whole = tmp_path / "old.poni", poni.write(OTHER)
    file.write_text("".join(line for line in whole.splitlines(keepends=True) if "Wavelength" not in line))
    refused = call("put", prefix, file)
    assert refused.returncode == 2
    assert "Wavelength missing" in refused.stderr
    assert "give it with --wavelength (m) or --energy (keV)" in refused.stderr
    assert call("put", prefix, file, "--wavelength", 1.25e-11).returncode == 0
    assert snapshot(prefix)["geometry"] == {**OTHER.as_dict(), "wavelength": 1.25e-11}
    assert call("put", prefix, file, "--energy", 70).returncode == 0
    assert Geometry.parse(snapshot(prefix)["geometry"]).energy == pytest.approx(70, rel=1e-12)
    file.write_text(whole)
    other = call("put", prefix, file, "--energy", 70)
    assert other.returncode == 2
    assert f"has the wavelength {OTHER.wavelength!r} m" in other.stderr
    assert call("put", prefix, file, "--wavelength", OTHER.wavelength).returncode == 0


def test_put_of_a_file_with_a_slip_is_refused(call, prefix, tmp_path):
    file = tmp_path / "far.poni"
    file.write_text(poni.write(replace(OTHER, dist=31.0)))
    done = call("put", prefix, file)
    assert done.returncode == 1
    assert (
        "dist 31.0 m is 20 m or more and looks like centimetre: write 0.31, or millimetre: write 0.031" in done.stderr
    )


def test_set_changes_several_values_as_one_without_a_label(call, prefix):
    put(f"{prefix}Request", commit_text("begin", label="near", provenance=FIT))
    done = call("set", prefix, "dist=0.3", "rot1=0.01", 'detector_config={"orientation": 2}', "--comment", "by eye")
    assert (done.returncode, done.stderr) == (0, "")
    record = snapshot(prefix)
    assert record["geometry"] == {**GEOMETRY, "dist": 0.3, "rot1": 0.01, "detector_config": {"orientation": 2}}
    assert (record["revision"], record["label"]) == (2, None)
    author = record["provenance"]["author"]
    assert record["provenance"] == {"method": "manual", "derived_from": 1, "comment": "by eye", "author": author}
    refused = call("set", prefix, "wavelength=1.6", "dist=-1")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "dist -1.0 m is out of range: expected 0 < dist <= 100 m",
        "wavelength 1.6 m looks like angstrom: write 1.6e-10, or keV: write 7.74901240208e-10, or nm: write 1.6e-09",
    ]
    assert snapshot(prefix) == record


def test_activate_takes_numbers_and_labels(call, prefix):
    for number, label in enumerate(("near", "far"), start=1):
        text = commit_text(label, geometry={**GEOMETRY, "dist": float(number)}, label=label)
        assert request(prefix, text)["revision"] == number
    assert (
        call("activate", prefix, "near").stdout
        == f"{prefix} revision 1 is active (serial 3) and may be used: {UNWATCHED}\n"
    )
    assert call("activate", prefix, 2).stdout == (
        f"{prefix} revision 2 is active (serial 4) and may be used: {UNWATCHED}\n"
    )
    unknown, nonsense = [call(*words) for words in (("activate", prefix, 7), ("activate", prefix, "no label"))]
    assert (unknown.returncode, unknown.stderr) == (1, "there is no revision 7: the history has revisions 1 to 2\n")
    assert nonsense.returncode == 2
    assert snapshot(prefix)["serial"] == 4


def test_watch_prints_a_line_at_every_change_until_it_is_interrupted(prefix):
    put(f"{prefix}Request", commit_text("begin", label="near"))
    process = subprocess.Popen(
        [sys.executable, "-m", "ponikeeper", "watch", prefix], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert "UNWATCHED serial 1 revision 1 (near) dist 234.5 mm" in process.stdout.readline()
        put(f"{prefix}Dist", 0.3)
        assert "UNWATCHED serial 2 revision 2 dist 300 mm" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=TIMEOUT)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()


def test_unset_detector_is_reported(call, prefix):
    shown, got, listed = [call(*words) for words in (("show", prefix), ("get", prefix), ("history", prefix))]
    assert (shown.returncode, got.returncode, listed.returncode) == (0, 1, 0)
    assert "no revisions: no geometry was ever committed" in listed.stdout
    assert "UNSET" in shown.stdout
    assert "UNSET: no geometry was ever committed" in got.stderr
    assert got.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ("set", "P:", "dist"),
        ("set", "P:", "distance=3"),
        ("set", "P:", "dist=far"),
        ("set", "P:", "detector_config={"),
        ("put", "P:", "/nowhere/near.poni"),
        ("put", "P:", "/dev/null"),
        ("check", "/nowhere/ioc.toml"),
        ("serve", "/nowhere/ioc.toml"),
        ("get",),
        ("erase", "P:"),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_exit_code_2(call, words):
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_ioc_that_does_not_answer_has_exit_code_3(call):
    shown = call("show", "NOWHERE:")
    assert (shown.returncode, shown.stdout) == (3, "")
    assert shown.stderr.startswith("NOWHERE:Snapshot_RBV does not answer within 5 s: is the prefix right, ")


def test_check_reads_a_configuration_and_serves_nothing(call, farm):
    done = call("check", farm.config)
    assert done.returncode == 0
    assert f"{farm.config}: OK, {len(farm.prefixes)} detectors, store {farm.store}" in done.stdout


WITHOUT = "import sys; sys.modules[{0!r}] = None; sys.argv[1:] = {1!r}; from ponikeeper.cli.app import run; run()"


@pytest.mark.parametrize(
    ("missing", "words"),
    [("caproto", ["serve", "ioc.toml"]), ("caproto", ["check", "ioc.toml"])],
    ids=str,
)
def test_missing_extra_is_reported_with_the_line_that_installs_it(missing, words):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing, words)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"{missing} is not installed: pip install 'ponikeeper[ioc]'\n"


def test_reading_needs_no_extra(calibrated):
    program = "import sys; sys.modules.update(dict.fromkeys(['caproto', 'uvloop', 'ophyd', 'pyFAI'])); "
    program += f"sys.argv[1:] = ['get', {calibrated!r}]; from ponikeeper.cli.app import run; run()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert poni.read(done.stdout) == Geometry.parse(snapshot(calibrated)["geometry"])


NOT_LOADED = {
    "caproto", "ophyd", "pandas", "ponikeeper.ca", "ponikeeper.config", "ponikeeper.geometry.kinematics",
    "ponikeeper.protocol.examples", "ponikeeper.site", "ponikeeper.store", "ponikeeper_client", "setuptools", "sqlite3",
    "uvloop", "xml",
}  # fmt: skip
"""What takes time to load, and is not needed to read a geometry; 0.35 s from exec to exit are the goal."""


@pytest.mark.parametrize(("verb", "more"), [("get", {"rich"}), ("show", {"ponikeeper.protocol.history_reading"})])
def test_reading_starts_fast_since_it_loads_only_what_it_needs(calibrated, verb, more):
    program = (
        f"import sys; sys.argv[1:] = [{verb!r}, {calibrated!r}]\nfrom ponikeeper.__main__ import main\n"
        f"try:\n    main()\nfinally:\n    print(*sorted({NOT_LOADED | more!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "\n")


@pytest.mark.parametrize("value", ["dist=nan", "dist=1e400", "dist=0.2_3", "dist=\u0663"])
def test_set_takes_numbers_as_people_write_them(call, prefix, value):
    done = call("set", prefix, value)
    assert done.returncode == 2
    assert "is not a number in SI units" in done.stderr


def test_set_of_one_name_twice_is_refused(call, prefix):
    done = call("set", prefix, "dist=0.4", "dist=0.5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a name is given twice" in done.stderr
