"""Import of older calibrations: PONI and autosave files become a history with their times, or are refused."""

import json
import re
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ponikeeper.errors import GeometryError, HistoryError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history.history_file import read, write
from ponikeeper.site.legacy_import import ImportOptions, read_autosave, read_poni, to_history
from speak import GEOMETRY

PREFIX, OTHER = "XF:28ID1-ES{Det:PE1}Calib:", "XF:28ID1-ES{Det:PE2}Calib:"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEAD = "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis\n"


def geometry(dist=0.2):
    return Geometry.parse({**GEOMETRY, "dist": dist})


def entry(dist, done=None):
    """Write what pyFAI's save() appends to a file."""
    head = HEAD + (f"# Calibration done on {time.ctime(done)}\n" if done is not None else "")
    return head + "".join(line for line in poni.write(geometry(dist)).splitlines(keepends=True) if line[0] != "#")


def instants(found):
    return [each.time.timestamp() for each in found]


# --- PONI


def test_every_entry_of_a_poni_is_found_with_its_own_time():
    data = (entry(0.2, 1.5e9) + entry(0.3, 1.6e9) + entry(0.4)).encode()
    found = read_poni("pe1.poni", data, 1.7e9)
    assert [each.geometry.dist for each in found] == [0.2, 0.3, 0.4]
    assert instants(found) == [1.5e9, 1.6e9, 1.7e9]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri Feb 27 13:52:42 2015", datetime(2015, 2, 27, 13, 52, 42, tzinfo=UTC)),
        ("2015-02-27T13:52:42+02:00", datetime(2015, 2, 27, 11, 52, 42, tzinfo=UTC)),
        ("2015-02-27 13:52:42", datetime(2015, 2, 27, 13, 52, 42, tzinfo=UTC)),
        ("Fri Feb 30 13:52:42 2015", None),
        ("27.2.2015", None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_time_that_cannot_be_read_is_that_of_the_file_and_is_named(text, expected):
    data = f"# Calibration done at {text}\n{entry(0.2)}".encode()
    (found,) = read_poni("pe1.poni", data, 1.7e9, ImportOptions(zone=UTC))
    assert found.unread_time == ("" if expected else text)
    assert found.time == (expected or datetime.fromtimestamp(1.7e9, UTC))


# --- autosave

SAVED = {"Dist": "0.2345", "Poni1": "1e-1", "Poni2": "0.11", "Rot1": "0.002", "Rot2": "0.001", "Rot3": "0",
    "Pixel1": "0.0002", "Pixel2": "0.0002", "Wavelength": "1.66e-11", "Detector": "Perkin"}  # fmt: skip


def saved(prefix=PREFIX, stamp="\t- DO NOT MODIFY - 251023-150405", end="<END>\n", **changes):
    lines = [f"{prefix}{name} {value}\n" for name, value in (SAVED | changes).items() if value is not None]
    return f"# autosave R5.3\tAutomatically generated{stamp}\n! 2 channel(s) not connected\n{''.join(lines)}{end}"


def test_autosave_file_is_one_geometry_with_the_time_of_its_first_line():
    found = read_autosave("auto.sav", saved(), 0.0, PREFIX)
    assert found.geometry == Geometry.parse(GEOMETRY)
    assert found.time == datetime(2025, 10, 23, 15, 4, 5).astimezone()


def test_autosave_file_without_a_time_is_of_the_time_when_it_was_written():
    assert read_autosave("auto.sav", saved(stamp=""), 1.6e9, PREFIX).time.timestamp() == 1.6e9


def test_time_of_autosave_that_does_not_exist_is_that_of_the_file_and_is_named():
    found = read_autosave("auto.sav", saved(stamp=" 251323-150405"), 1.6e9, PREFIX)
    assert (found.time.timestamp(), found.unread_time) == (1.6e9, "251323-150405")


@pytest.mark.parametrize(("old", "name"), [("cal:", "dist"), ("XF{Det}", "Dist.VAL"), ("P:", "Dist_RBV")])
def test_names_of_another_prefix_and_spelling_are_found(old, name):
    text = saved(old, Dist=None, **{name: "0.5"})
    assert read_autosave("auto.sav", text, 0.0, old).geometry.dist == 0.5


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", HistoryError, "auto.sav: this is not an autosave file: expected a first line such as # autosave"),
        ("Dist: 0.2\n", HistoryError, "auto.sav: this is not an autosave file"),
        (saved(end=""), HistoryError, "auto.sav: the line <END> is missing: the file is incomplete"),
        (
            saved(OTHER),
            HistoryError,
            "no PV of a geometry has the prefix .*PE1.*; prefixes in the file: .*PE2.*--from",
        ),
        (saved(Rot1=None, Detector=None), GeometryError, "auto.sav: incomplete: rot1, detector missing"),
        (saved(Dist="234.5"), GeometryError, "auto.sav: dist 234.5 m looks like millimetre"),
        (saved(Dist="nan"), GeometryError, "auto.sav: dist"),
    ],
)
def test_autosave_file_that_has_no_whole_geometry_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        read_autosave("auto.sav", text, 0.0, PREFIX)


CONFIG = {"orientation": 2, "max_shape": [2048, 2048]}
TEXT = json.dumps(CONFIG)
ESCAPED = TEXT.replace('"', '\\"')


def codes(text):
    return "@array@ { " + "".join(f'"{code}" ' for code in text.encode() + b"\0\0") + "}"


@pytest.mark.parametrize(
    "fields",
    [
        {"DetectorConfig": TEXT},
        {"DetectorConfig$": TEXT},
        {"DetectorConfig$": ESCAPED},
        {"DetectorConfig.VAL$": ESCAPED},
        {"DetectorConfig": codes(TEXT)},
        {"DetectorConfig_RBV": codes(TEXT), "Detector": None, "Detector$": codes("Perkin")},
        {"DetectorConfig": codes(TEXT), "Dist": '@array@ { "0.2345" }'},
    ],
)
def test_long_strings_and_arrays_of_autosave_are_read(fields):
    found = read_autosave("auto.sav", saved(**fields), 0.0, PREFIX)
    assert found.geometry == Geometry.parse({**GEOMETRY, "detector_config": CONFIG})


@pytest.mark.parametrize("text", [TEXT[:-3], codes(TEXT[:-3]), "@array@ { }", '@array@ { "0.1" "0.2" }'])
def test_cut_configuration_of_autosave_is_refused(text):
    with pytest.raises(GeometryError, match=r"auto\.sav: detector_config .* is not a JSON object"):
        read_autosave("auto.sav", saved(**{"DetectorConfig$": text}), 0.0, PREFIX)


def test_files_without_a_wavelength_get_the_given_one():
    options = ImportOptions(wavelength=1.7e-11)
    assert read_autosave("auto.sav", saved(Wavelength=None), 0.0, PREFIX, options).geometry.wavelength == 1.7e-11
    assert read_autosave("auto.sav", saved(), 0.0, PREFIX, options).geometry.wavelength == 1.66e-11
    old = re.sub("Wavelength.*\n", "", entry(0.2))
    assert read_poni("a.poni", old.encode(), 0, options)[0].geometry.wavelength == 1.7e-11


def test_times_are_in_the_given_zone():
    options = ImportOptions(zone=ZoneInfo("Asia/Tokyo"))
    found = read_autosave("auto.sav", saved(), 0.0, PREFIX, options)
    assert found.time == datetime(2025, 10, 23, 6, 4, 5, tzinfo=UTC)


def test_slips_are_refused_unless_the_limits_of_the_detector_allow_them():
    allowed = ImportOptions(limits={"rot1": (-3.0, 3.0)})
    with pytest.raises(GeometryError, match=r"auto\.sav: rot1 1\.5 rad looks like degree"):
        read_autosave("auto.sav", saved(Rot1="1.5"), 0.0, PREFIX)
    assert read_autosave("auto.sav", saved(Rot1="1.5"), 0.0, PREFIX, allowed).geometry.rot1 == 1.5
    with pytest.raises(GeometryError, match=r"dist 31\.0 m is 20 m or more"):
        read_poni("a.poni", entry(31.0).encode(), 0)
    assert read_poni("a.poni", entry(31.0).encode(), 0, ImportOptions(limits={"dist": (0.1, 40.0)}))


# --- as a history


def test_history_is_in_the_order_of_the_times_and_every_geometry_was_in_force_once():
    found = read_poni("b.poni", entry(0.3, 1.6e9).encode(), 0) + read_poni("a.poni", entry(0.2, 1.5e9).encode(), 0)
    history = to_history(PREFIX, found, NOW)
    assert [each.geometry.dist for each in history.revisions] == [0.2, 0.3]
    assert [each.created for each in history.revisions] == [each.time for each in history.activations]
    assert history.revisions[0].created == "2017-07-14T02:40:00.000000Z"
    assert history.revisions[0].provenance["comment"] == "imported from a.poni"
    assert read(write(history)) == history


def test_same_files_make_the_same_history():
    found = read_poni("a.poni", (entry(0.2, 1.5e9) + entry(0.3, 1.6e9)).encode(), 0)
    assert to_history(PREFIX, found, NOW) == to_history(PREFIX, found[::-1], NOW)
    assert to_history(OTHER, found, NOW).revisions[0].uid != to_history(PREFIX, found, NOW).revisions[0].uid


def test_copy_of_a_file_is_no_revision_of_its_own():
    found = [each for name in ("a", "b") for each in read_poni(name, entry(0.2, 1.5e9).encode(), 0)]
    assert len(to_history(PREFIX, found, NOW).revisions) == 1


def test_file_from_the_future_is_refused():
    with pytest.raises(HistoryError, match=r"a\.poni: its time, 2096-.*, is in the future"):
        to_history(PREFIX, read_poni("a.poni", entry(0.2, 4e9).encode(), 0), NOW)
