"""The commands that correct a revision, and the history that shows the corrections."""

import io
import json

import pytest
from rich.console import Console

from ponikeeper.cli.rendering import history_tree, tree_width
from speak import GEOMETRY, commit_text, get, put, request, results, snapshot

FIT = {"method": "fit", "calibrant": "Ni", "author": "alice@beamline.example.org", "residual_px": 0.04}
DETECTORS = tuple(f"{{Det:{number}}}Calib:" for number in range(9))


@pytest.fixture(scope="module")
def unused(make_ioc_for_module):
    """Return the prefixes of unused detectors of one IOC."""
    return iter(make_ioc_for_module(detectors=DETECTORS).start().prefixes)


@pytest.fixture
def five(unused):
    """Prefix of a detector with five revisions: near, far, near, far, near."""
    prefix = next(unused)
    for number in range(1, 6):
        text = commit_text(
            f"{number}",
            geometry={**GEOMETRY, "dist": 0.2 + number / 100},
            label="near" if number % 2 else "far",
            provenance=FIT,
        )
        assert request(prefix, text)["revision"] == number
    return prefix


def corrections(prefix, number):
    assert put(f"{prefix}History:Select", number) is None
    return json.loads(get(f"{prefix}History:Selected_RBV"))["judgements"]


def test_supersede_prints_which_revision_is_right(call, five):
    done = call("supersede", five, 1, "--by", 2, "--reason", "wavelength typed wrong")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{five} revision 1 is superseded by revision 2\n"
    (correction,) = corrections(five, 1)
    assert (correction["kind"], correction["by"], correction["reason"]) == ("supersede", 2, "wavelength typed wrong")
    assert (correction["since"], correction["until"]) == (None, None)
    assert snapshot(five)["status"] == "UNWATCHED"


def test_supersede_of_the_active_revision_prints_that_it_stays_active(call, five):
    done = call("supersede", five, 5, "--by", 4, "--reason", "worse")
    assert done.stdout == (
        f"{five} revision 5 is superseded by revision 4; it stays active until another one is activated\n"
        f"next: find the right revision: ponikeeper history '{five}' --tree; then type: ponikeeper activate "
        f"'{five}' NUMBER\n"
    )
    assert (snapshot(five)["status"], snapshot(five)["revision"]) == ("SUPERSEDED", 5)


def test_supersede_for_a_time_names_it_in_utc(call, five):
    done = call(
        "supersede", five, 5, "--by", 4, "--reason", "a bump",
        "--since", "2026-01-01T00:00:00+01:00", "--until", "2026-01-02T06:30:00.250Z",
    )  # fmt: skip
    assert done.stdout == (
        f"{five} revision 5 is superseded by revision 4 from 2025-12-31T23:00:00Z to 2026-01-02T06:30:00.250000Z\n"
    )
    (correction,) = corrections(five, 5)
    assert correction["since"] == "2025-12-31T23:00:00.000000Z"
    assert snapshot(five)["status"] == "UNWATCHED"  # it is right again now
    open_ended = call("supersede", five, 3, "--by", 4, "--reason", "since then", "--since", "2026-01-02T00:00:00Z")
    assert open_ended.stdout == f"{five} revision 3 is superseded by revision 4 from 2026-01-02T00:00:00Z on\n"


def test_retract_and_json(call, five):
    text = call("retract", five, 3, "--reason", "the panel was off")
    assert (text.returncode, text.stdout) == (0, f"{five} revision 3 is retracted\n")
    in_force = call("retract", five, 5, "--reason", "this one too", "--json")
    result = json.loads(in_force.stdout)
    assert result.items() >= results(five)[0].items()
    assert (result["op"], result["outcome"], result["revision"]) == ("retract", "accepted", 5)
    superseded = call("supersede", five, 5, "--by", 4, "--reason", "4 it is", "--json")
    assert json.loads(superseded.stdout).items() >= results(five)[0].items()
    refused = call("activate", five, 3)
    assert refused.returncode == 1
    assert "revision 3 was retracted: the panel was off; activate one that is right" in refused.stderr
    forced = call("activate", five, 3, "--force").stdout
    assert forced.startswith(f"{five} revision 3 is active (serial 6) but does not apply: RETRACTED, revision 3 was ")


@pytest.fixture(scope="module")
def corrected(unused):
    """Prefix of a detector with two revisions, the first of them retracted; no test changes it."""
    prefix = next(unused)
    for number in (1, 2):
        assert request(prefix, commit_text(f"{number}", geometry={**GEOMETRY, "dist": number / 10}))["revision"]
    retraction = {"v": 1, "request": "r", "op": "retract", "revision": 1, "reason": "bad"}
    assert request(prefix, json.dumps(retraction))["outcome"] == "accepted"
    return prefix


REFUSED = {
    "no such revision": (
        ("supersede", 7, "--by", 2, "--reason", "x"),
        "there is no revision 7: the history has revisions 1 to 2\n",
    ),
    "by itself": (("supersede", 2, "--by", 2, "--reason", "x"), "revision 2 cannot supersede itself"),
    "by one that is wrong": (("supersede", 2, "--by", 1, "--reason", "x"), "revision 1 was retracted (bad)"),
    "of the future": (
        ("supersede", 1, "--by", 2, "--reason", "x", "--since", "2999-01-01T00:00:00Z"),
        '"since": 2999-01-01T00:00:00.000000Z is in the future',
    ),
    "end before beginning": (
        ("supersede", 1, "--by", 2, "--reason", "x", "--since", "2025-01-02T00:00:00Z", "--until", "2025-01-01T00:00Z"),
        'is not before "until"',
    ),
    "retraction of nothing": (("retract", 9, "--reason", "x"), "there is no revision 9"),
}


@pytest.mark.parametrize(("words", "reason"), REFUSED.values(), ids=REFUSED)
def test_impossible_correction_is_refused_with_the_reason_of_the_ioc(call, corrected, words, reason):
    verb, *rest = words
    done = call(verb, corrected, *rest)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("supersede", "P:", 1, "--reason", "x"), "--by"),
        (("supersede", "P:", 1, "--by", 2), "--reason"),
        (
            ("supersede", "P:", "near", "--by", 2, "--reason", "x"),
            "'near' is not the number of a revision: expected",
        ),
        (("supersede", "P:", 1, "--by", "far", "--reason", "x"), "'far' is not the number of a revision: expected"),
        (("retract", "P:", "near", "--reason", "x"), "'near' is not the number of a revision: expected"),
        (("diff", "P:", 1, "near"), "'near' is not the number of a revision: expected"),
        (("supersede", "P:", 1, "--by", 0, "--reason", "x"), '"by": 0 is not allowed'),
        (("supersede", "P:", 1, "--by", 2, "--reason", "x", "--since", "yesterday"), '"since": "yesterday" is not'),
        (("supersede", "P:", 1, "--by", 2, "--reason", "x", "--until", "2026-01-01T00:00:00"), '"until": "2026-'),
        (("retract", "P:", 1), "--reason"),
        (("retract", "P:", 1, "--reason", ""), '"reason": "" is not allowed'),
        (("retract", "P:", 1, "--reason", "x" * 401), "a text in one line of 1 to 400 bytes"),
    ],
    ids=str,
)
def test_incomplete_correction_is_a_usage_error_and_is_not_sent(call, words, reason):
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


def test_history_marks_corrected_revisions_and_is_readable_in_80_columns(call, five):
    assert "corrected" not in call("history", five).stdout
    call("supersede", five, 1, "--by", 2, "--reason", "typed wrong")
    call("retract", five, 3, "--reason", "the panel was off")
    lines = call("history", five).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[-1] == "corrected"
    assert lines[-1].rstrip() == "5 revisions; revision 5 is active"
    rows = {int(line.split()[0].lstrip("*")): line.rstrip() for line in lines[2:-1]}
    assert [number for number, row in rows.items() if row.lstrip().startswith("*")] == [5]
    assert sorted(rows) == [1, 2, 3, 4, 5]  # no cell is folded
    assert rows[1].endswith(" by 2")
    assert rows[3].endswith(" retracted")
    assert all("alice" in row and " Ni " in row for row in rows.values())
    assert not any(word in rows[number] for number in (2, 4, 5) for word in ("retracted", " by "))


def test_tree_shows_what_superseded_what_and_why(call, five):
    for words in (
        ("supersede", five, 1, "--by", 2, "--reason", "typed wrong"),
        ("supersede", five, 2, "--by", 3, "--reason", "a bump", "--until", "2026-01-02T00:00:00Z"),
        ("supersede", five, 2, "--by", 4, "--reason", "better fit"),
        ("retract", five, 3, "--reason", "the panel was off"),
        ("supersede", five, 5, "--by", 4, "--reason", "worse"),
    ):
        assert call(*words).returncode == 0
    done = call("history", five, "--tree", COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    newest = json.loads(get(f"{five}History:List_RBV"))["revisions"][0]
    who, created = newest["judgement"]["author"], newest["created"][:16].replace("T", " ")
    assert done.stdout.replace(created, "*").splitlines() == [
        f"history of {five}",
        "├── 4 (far) * fit Ni",
        "│   ├── 5 (near) * fit Ni active",
        f"│   │   superseded by revision 4: worse ({who})",
        "│   └── 2 (far) * fit Ni",
        f"│       superseded by revision 3 before 2026-01-02T00:00:00Z: a bump ({who})",
        f"│       superseded by revision 4: better fit ({who})",
        "│       └── 1 (near) * fit Ni",
        f"│           superseded by revision 2: typed wrong ({who})",
        "└── 3 (near) * fit Ni",
        f"    retracted: the panel was off ({who})",
        f"    └── 2 (far) superseded before 2026-01-02T00:00:00Z: a bump ({who})",
        "5 revisions; revision 5 is active",
    ]
    assert int(get(f"{five}History:Select")) == 0  # whatever a person looks at stays there


def row(number, correction=None):
    return {
        "revision": number, "created": "2026-11-22T09:30:00.000000Z", "label": None, "method": None,
        "calibrant": None, "judgement": correction,
    }  # fmt: skip


def correction(number, by, **more):
    return {"number": number, "by": by, "since": None, "until": None, "reason": "r", "author": "a"} | more


def drawn(rows, corrections, in_force):
    """Render a tree as a narrow terminal shows it."""
    tree, text = history_tree("P:", rows, corrections, in_force), io.StringIO()
    Console(file=text, width=max(80, tree_width(tree))).print(tree)
    return text.getvalue().splitlines()


def test_tree_has_a_revision_at_the_top_if_its_replacement_is_not_listed():
    gone = correction(1, 70)
    lines = drawn([row(9), row(8, gone)], {8: [gone], 9: []}, 70)
    assert lines == [
        "history of P:",
        "├── 9 2026-11-22 09:30",
        "└── 8 2026-11-22 09:30",
        "    superseded by revision 70: r (a)",
    ]


def test_tree_is_readable_however_deep_it_is():
    count = 60
    found = {number: correction(number, number + 1) for number in range(1, count)}
    rows = [row(number, found.get(number)) for number in range(count, 0, -1)]
    lines = drawn(rows, {number: [item] for number, item in found.items()}, count)
    assert len(lines) == 2 * count  # no text is folded
    assert lines[1] == "└── 60 2026-11-22 09:30 active"
    assert lines[-1].strip() == "superseded by revision 2: r (a)"
    assert lines[-2].index("1 2026") == 4 * count


def test_tree_names_a_revision_once_at_each_place_after_many_corrections():
    first, second, last = (correction(number, by) for number, by in ((1, 2), (2, 2), (3, 3)))
    lines = drawn([row(3), row(2), row(1, last)], {1: [first, second, last]}, 3)
    assert sum("└── 1 2026" in line for line in lines) == 1
    assert lines.count("    ├── 1 superseded: r (a)") == 1
    assert lines.count("    └── 1 superseded: r (a)") == 1
