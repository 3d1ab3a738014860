"""The history as text for a screen: a table, and two revisions side by side."""

from dataclasses import replace

import pytest

from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.text_tables import compare_text, labels_text, links_text, revision_entry, table_text
from stores import GEOMETRY


def revision(number, label=None, **provenance):
    geometry = replace(GEOMETRY, dist=0.2 + number / 1000)
    return Revision(
        number, f"uid-{number}", f"2026-11-22T09:{number % 60:02}:00.000000Z", label, geometry, None, provenance, ""
    )


@pytest.fixture
def three():
    return [
        revision(1, "near", calibrant="Ni", residual_px=0.1234, author="alice@xpd"),
        revision(2, "Größe", author="b" * 40),
        revision(3),
    ]


def test_table_has_the_newest_first_and_marks_the_selected_and_the_active_revision(three):
    corrections = [Correction(1, "supersede", 2, 3, None, None, "typed wrong", "2026-11-22T10:00:00Z", "bob")]
    head, *rows = table_text(three, corrections, 2, 3).splitlines()
    assert head.split() == [
        "rev",
        "created",
        "(UTC)",
        "label",
        "dist/mm",
        "keV",
        "calibrant",
        "px",
        "author",
        "corrected",
    ]
    assert [row.split()[:2] for row in rows] == [["*", "3"], [">", "2"], ["1", "2026-11-22"]]
    assert rows[1].endswith("superseded by 3")
    assert rows[2].split()[3:] == ["near", "201.0000", f"{GEOMETRY.energy:.4f}", "Ni", "0.12", "alice@xpd"]


def test_undone_revision_says_so_unless_it_was_corrected(three):
    corrections = [Correction(1, "retract", 3, None, None, None, "typed wrong", "2026-11-22T10:00:00Z", "bob")]
    rows = table_text(three, corrections, 1, 1, {2, 3}).splitlines()[1:]
    assert [row.split()[-1] for row in rows[:2]] == ["retracted", "undone"]
    assert not rows[2].endswith("undone")
    assert [revision_entry(each, corrections, {2, 3})["undone"] for each in three] == [False, True, True]


def test_columns_are_aligned_for_any_texts(three):
    text = table_text(three, [], 3, 3)
    assert text.isascii()
    head, *rows = text.splitlines()
    begin = head.index("dist/mm") + len("dist/mm")
    assert {row[:begin].rsplit(maxsplit=1)[1] for row in rows} == {"201.0000", "202.0000", "203.0000"}


def test_table_has_at_most_as_many_rows_as_fit_a_screen():
    many = [revision(number) for number in range(1, 61)]
    numbers = [int(row.split()[row[:2].strip() != ""]) for row in table_text(many, [], 30, 0).splitlines()[1:]]
    assert numbers == list(range(40, 19, -1))


def test_table_of_nothing_is_its_head():
    assert len(table_text([], [], 0, 0).splitlines()) == 1


def test_only_values_that_differ_have_a_difference(three):
    head, *lines = compare_text(three[0], three[2]).splitlines()
    assert head.split() == ["revision", "1", "revision", "3", "difference"]
    values = {line.split()[0]: line.split()[1:] for line in lines}
    assert values["dist"] == ["0.201", "0.203", "-0.002", "m"]
    assert len(values["poni1"]) == 2
    assert values["calibrant"] == ["Ni"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"within": True}, "ok"),
        ({"within": False}, "outside"),
        ({}, "not recorded"),
        ({"moving": True}, "moving"),
        ({"connected": False, "moving": True}, "disconnected"),
        ({"moving": None}, "disconnected"),
        ({"value": None, "error": "no finite number"}, "no value"),
    ],
)
def test_link_has_a_status_of_its_own(values, says):
    values = {"value": 200.0, "moving": False, "connected": True, **values}
    link = LinkState("z", "Z.RBV", "motor", "mm", 0.05, calibrated=200.25, **values)
    _, row = links_text([link]).splitlines()
    now = "-" if values["value"] is None else "200"
    assert row.split() == ["z", now, "200.25", "mm", *says.split(), "Z.RBV"]


def test_links_stand_one_below_the_other_as_wide_as_their_values():
    values = {"moving": False, "connected": True, "within": True}
    links = [
        LinkState("z", "Z.RBV", "motor", "mm", 0.05, 200.0, -1234.5678, **values),
        LinkState("monochromator", "E", "energy", "keV", 1e-4, 74.123456, None, **values),
    ]
    head, *rows = links_text(links).splitlines()
    assert head.split() == ["link", "now", "calibrated", "units", "PV"]
    assert rows[1].split() == ["monochromator", "74.123456", "-", "keV", "ok", "E"]
    assert head.index("PV") == rows[0].index("Z.RBV") == rows[1].rindex("E")
    assert links_text([]) == "no links are configured: no PV is watched"


def test_labels_are_listed_with_what_they_activate(three):
    head, *rows = labels_text([("near", three[0]), ("Größe", three[1])]).splitlines()
    assert head.split() == ["label", "rev", "dist/mm", "keV", "created", "(UTC)"]
    assert [row.split()[:3] for row in rows] == [["near", "1", "201.0000"], ["Gr\\xf6\\xdfe", "2", "202.0000"]]
    assert len({row.index("2026-11-22 09:0") for row in rows}) == 1
    assert labels_text([]) == "no revision has a label"
