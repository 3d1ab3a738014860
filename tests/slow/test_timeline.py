"""The history of a detector as a table over time, and its drawing."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ponikeeper.errors import HistoryError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.history import Activation, Correction, Revision, history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.record_form import checksum
from ponikeeper.history.records import LabelRecord, UndoRecord
from ponikeeper_client import read_history, timeline
from ponikeeper_client.recall import _drift
from strategies import VALUES

P = "XF:28ID1-ES{Det:PE1}Calib:"
GEOMETRY = Geometry.parse(VALUES)


def day(number, hour=9):
    return f"2026-11-{number:02d}T{hour:02d}:30:00.250000Z"


def revision(number, label, geometry, provenance=None, position=None):
    bare = Revision(number, f"uid{number}", day(number), label, geometry, position, provenance or {}, "")
    return replace(bare, checksum=checksum(P, "revision", bare.row()))


def z(value, units="mm"):
    return {"z": {"value": value, "units": units}}


X = {"x": {"value": 1.0, "units": ""}}
REVISIONS = (
    revision(1, "near", GEOMETRY, {"sigma": {"dist": 1e-6, "rot1": 2e-6}, "author": "alice"}, z(200.0)),
    revision(2, "far", replace(GEOMETRY, dist=0.9), {"residual_px": 0.04}, z(1000.0)),
    revision(3, "near", replace(GEOMETRY, dist=2.345), {"method": "fit"}, z(0.2, "m") | X),
    revision(4, None, replace(GEOMETRY, dist=GEOMETRY.dist + 1e-5)),
    revision(5, "near", replace(GEOMETRY, dist=GEOMETRY.dist + 2e-5, poni1=GEOMETRY.poni1 + 1e-5)),
)  # fmt: skip
ACTIVATIONS = tuple(
    Activation(serial, number, day(serial), cause, "bob")
    for serial, (number, cause) in enumerate(
        [(1, "commit"), (2, "commit"), (3, "commit"), (4, "commit"), (5, "commit"), (2, "follow"), (5, "follow")], 1
    )
)
CORRECTIONS = (
    Correction(1, "supersede", 3, 4, None, None, "typed wrong", day(5), "bob"),
    Correction(2, "supersede", 4, 5, None, None, "better fit", day(5), "bob"),
    Correction(3, "retract", 2, None, None, None, "beam stop", day(6), "bob"),
)
HISTORY = ExportedHistory(P, day(8), REVISIONS, ACTIVATIONS, CORRECTIONS)


def test_each_revision_is_a_row_at_the_time_of_its_commit():
    table = timeline(HISTORY)
    assert list(table.index) == [pd.Timestamp(day(number)) for number in range(1, 6)]
    assert str(table.index.tz) == "UTC"
    assert list(table["revision"]) == [1, 2, 3, 4, 5]
    assert list(table["label"]) == ["near", "far", "near", "", "near"]
    assert list(table["active"]) == [False, False, False, False, True]


def test_every_parameter_is_there_bit_by_bit():
    table = timeline(HISTORY)
    for each, (_, row) in zip(REVISIONS, table.iterrows(), strict=True):
        assert {name: row[name] for name in PARAMETERS} == {name: getattr(each.geometry, name) for name in PARAMETERS}
        assert row["detector"] == each.geometry.detector
        assert (row["beam_x"], row["tilt"]) == (each.geometry.fit2d.beam_x, each.geometry.fit2d.tilt)
        assert row["energy"] == each.geometry.energy
    assert table.loc[day(1), ["dist_sigma", "rot1_sigma"]].tolist() == [1e-6, 2e-6]
    assert table["dist_sigma"].isna().sum() == 4
    assert table["poni2_sigma"].isna().all()
    assert {table[f"{name}_sigma"].dtype for name in PARAMETERS} == {np.dtype(float)}


def test_corrections_lead_to_the_revision_that_is_right_now():
    table = timeline(HISTORY)
    assert list(table["correction"]) == ["", "retracted", "superseded", "superseded", ""]
    assert table["replaced_by"].tolist() == [pd.NA, pd.NA, 5, 5, pd.NA]
    assert list(table["correction_reason"]) == ["", "beam stop", "typed wrong", "better fit", ""]


def test_label_is_the_one_of_now_and_what_was_undone_is_marked():
    undo = UndoRecord(1, 6, 5, 5)
    activations = (*ACTIVATIONS[:5], replace(ACTIVATIONS[5], cause="undo"))
    label = LabelRecord(1, 4, "far", 5, day(7), "bob")
    table = timeline(replace(HISTORY, activations=activations, undos=(undo,), labels=(label,)))
    assert list(table["undone"]) == [False, False, False, False, True]
    assert list(table["label"]) == ["near", "far", "near", "far", "near"]
    assert list(table["active"]) == [False, True, False, False, False]
    low, high = _drift._limits([_drift._differences(table[table["label"] == "near"], "dist")])
    assert high < 1e-2  # in mm: without the corrected and the undone revision nothing has changed
    assert low < 0


def test_position_that_cannot_be_converted_keeps_its_units():
    revisions = [
        replace(each, position=z(*at)) for each, at in zip(REVISIONS, [(12.5, "deg"), (9.0, "keV")], strict=False)
    ]
    last = replace(REVISIONS[2], position=z(500.0, "mdeg"))
    table = timeline(replace(HISTORY, revisions=(*revisions, last), activations=ACTIVATIONS[:3], corrections=()))
    assert list(zip(table["position_z"], table["position_z_units"], strict=True)) == [
        (12500.0, "mdeg"),
        (9.0, "keV"),
        (500.0, "mdeg"),
    ]


def test_position_has_a_column_for_each_link_with_its_units():
    table = timeline(HISTORY)
    assert table["position_z"].tolist()[:3] == [0.2, 1.0, 0.2]
    assert table["position_z_units"].tolist()[:3] == ["m", "m", "m"]
    assert table["position_z"].isna().tolist() == [False, False, False, True, True]
    assert table["position_x"].dropna().tolist() == [1.0]


def test_provenance_is_there():
    first = timeline(HISTORY).iloc[0]
    assert first["author"] == "alice"
    assert timeline(HISTORY)["method"].tolist()[2] == "fit"
    assert timeline(HISTORY)["residual_px"].dropna().tolist() == [0.04]


def test_by_activation_it_is_what_was_active():
    table = timeline(HISTORY, by="activation")
    assert table["revision"].tolist() == [1, 2, 3, 4, 5, 2, 5]
    assert table["serial"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert table["cause"].tolist() == ["commit"] * 5 + ["follow"] * 2
    assert table["active"].tolist() == [False] * 6 + [True]  # revision 5 was activated before, too
    assert list(table.index) == [pd.Timestamp(day(number)) for number in range(1, 8)]
    assert table["dist"].asof(pd.Timestamp(day(6, 12))) == 0.9


def test_file_gives_the_same_as_the_history(tmp_path):
    path = tmp_path / "pe1.jsonl"
    path.write_bytes(history_file.write(HISTORY))
    for source in (path, str(path)):
        pd.testing.assert_frame_equal(timeline(source), timeline(HISTORY))


@pytest.mark.parametrize("by", ["revision", "activation"])
def test_empty_history_is_an_empty_table_with_the_same_types(by):
    table, full = timeline(ExportedHistory(P, day(1)), by), timeline(HISTORY, by)
    assert table.empty
    assert str(table.index.tz) == "UTC"
    assert [name for name in full.columns if not name.startswith("position_")] == list(table.columns)
    assert table["dist"].dtype == full["dist"].dtype


@pytest.mark.parametrize(
    ("source", "by", "error", "message"),
    [
        (HISTORY, "day", ValueError, "by='day' is not allowed: expected 'revision' or 'activation'"),
        (
            [HISTORY, HISTORY],
            "revision",
            ValueError,
            r"a list is given: expected one exported history, such as timeline",
        ),
        (None, "revision", ValueError, "a NoneType is given"),
        ("/nowhere/pe1.jsonl", "revision", HistoryError, "/nowhere/pe1.jsonl: No such file"),
    ],
    ids=str,
)
def test_other_sources_are_refused(source, by, error, message):
    with pytest.raises(error, match=message):
        timeline(source, by)


@pytest.mark.parametrize("library", ["pandas", "matplotlib"])
def test_library_that_is_not_installed_is_reported_with_the_line_that_installs_it(library, tmp_path):
    program = f"import sys; sys.modules[{library!r}] = None; sys.argv[1:] = ['plot', 'P:', '--history', 'x']; "
    program += "from ponikeeper.cli.app import run; run()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"{library} is not installed: pip install 'ponikeeper[plot]'\n"


def test_history_of_a_file_is_read_as_that_of_a_prefix_is(tmp_path):
    (tmp_path / "pe1.jsonl").write_bytes(history_file.write(HISTORY))
    assert read_history(str(tmp_path / "pe1.jsonl")).by_kind() == HISTORY.by_kind()


def drawn(history, folder, *labels):
    file, path = folder / "pe1.jsonl", folder / "drift.png"
    file.write_bytes(history_file.write(history))
    text = _drift.plot(history.prefix, path, labels, file)
    with Image.open(path) as image:
        return text, np.asarray(image.convert("RGB"))


def test_drift_is_drawn_with_a_colour_for_each_label(tmp_path):
    text, pixels = drawn(HISTORY, tmp_path)
    assert text == f"{tmp_path}/drift.png: 5 revisions of {P} from 2026-11-01 09:30 to 2026-11-05 09:30 UTC"
    assert pixels.shape[0] > 600
    for color in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # of the first three labels
        assert (np.abs(pixels.astype(int) - color).sum(axis=2) < 30).sum() > 20, color
    only, few = drawn(HISTORY, tmp_path, "near")
    assert "3 revisions of" in only
    assert not np.array_equal(few, pixels) if few.shape == pixels.shape else True


def test_typing_mistake_that_was_corrected_does_not_set_the_scale():
    table = timeline(HISTORY)
    groups = [group for _, group in table.groupby("label", sort=False)]
    low, high = _drift._limits([_drift._differences(group, "dist") for group in groups])
    assert -0.02 < low < 0 < 0.02 < high < 0.03  # in mm: 2e-5 m of drift, not 2 m


def test_scale_of_values_that_are_all_equal_or_missing_is_finite():
    equal = timeline(ExportedHistory(P, day(8), REVISIONS[:1], ACTIVATIONS[:1]))
    low, high = _drift._limits([_drift._differences(equal, "tilt")])
    assert low < 0 < high
    missing = equal.assign(beam_x=np.nan)
    assert _drift._limits([_drift._differences(missing, "beam_x")]) == (-1.0, 1.0)
    with Image.open(io.BytesIO(_drift.draw(missing, P))) as image:
        assert image.format == "PNG"


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="no revision labelled middle: the history has labels far, near"):
        drawn(HISTORY, tmp_path, "middle")
    with pytest.raises(RefusedError, match="is UNSET: no geometry was ever committed"):
        drawn(ExportedHistory(P, day(1)), tmp_path)
    with pytest.raises(RefusedError, match=r"is the history of XF:28ID1-ES\{Det:PE1\}Calib:: expected one of Q:"):
        _drift.plot("Q:", None, (), tmp_path / "pe1.jsonl")
