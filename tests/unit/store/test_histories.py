"""Which history of a store belongs to a prefix, and which can be renamed."""

import itertools
import re

import pytest

from ponikeeper.errors import RefusedError, StoreError
from ponikeeper.history import RenameRecord
from ponikeeper.store.data_types import StoredHistory
from ponikeeper.store.histories import first_prefix_of, require_no_other, require_renamable, unnamed, unnamed_text
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, commit, contents, time_of

WHEN = "2026-11-22T09:30:00.250000Z"


def history(*prefixes, revisions=3):
    renames = tuple(
        RenameRecord(number, old, new, WHEN, "alice@here")
        for number, (old, new) in enumerate(itertools.pairwise(prefixes), 1)
    )
    return StoredHistory(prefixes[0], renames, revisions, WHEN if revisions else "")


@pytest.mark.parametrize(
    ("histories", "prefix", "first"),
    [
        ([], "A:", "A:"),
        ([history("A:")], "A:", "A:"),
        ([history("A:", "B:")], "B:", "A:"),
        ([history("A:", "B:", "C:")], "C:", "A:"),
        ([history("A:", "B:", "A:")], "A:", "A:"),
        ([history("B:", revisions=0), history("A:", "B:")], "B:", "A:"),
        ([history("A:", "B:")], "X:", "X:"),
    ],
)
def test_history_belongs_to_the_prefix_of_today(histories, prefix, first):
    assert first_prefix_of(histories, prefix) == first


@pytest.mark.parametrize("prefix", ["A:", "B:"])
def test_prefix_of_before_gets_no_second_history(prefix):
    with pytest.raises(StoreError, match=rf"the history of {prefix} is that of C: since 2026-11-22T09:30:00Z"):
        first_prefix_of([history("A:", "B:", "C:")], prefix)


def test_histories_that_no_detector_has_are_those_with_revisions():
    histories = [history("A:"), history("B:", "C:"), history("D:", revisions=0), history("E:")]
    assert [each.prefix for each in unnamed(histories, ["C:", "E:"])] == ["A:"]
    text = unnamed_text(histories[0], "28id1.toml")
    assert text.startswith("the store has a history of A: (3 revisions, the newest made 2026-11-22T09:30:00Z), which")
    assert text.endswith("ponikeeper rename 28id1.toml A: 'NEW PREFIX'")


def test_history_can_be_renamed_to_a_prefix_that_has_none_or_back():
    histories = [history("A:", "B:"), history("D:", revisions=0)]
    assert [require_renamable(histories, "B:", new).prefix for new in ("A:", "C:", "D:")] == ["A:"] * 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A:", "X:", "the store has no history of A:: it has B:, C:"),
        ("D:", "X:", "the store has no history of D:: it has B:, C:"),
        ("B:", "C:", "C: has 1 revision of its own, the newest made 2026-11-22T09:30:00Z: a number must not have two"),
        ("C:", "A:", "A: has 3 revisions of its own"),
    ],
)
def test_rename_that_would_mix_two_histories_is_refused(old, new, message):
    histories = [history("A:", "B:"), history("C:", revisions=1), history("D:", revisions=0)]
    with pytest.raises(RefusedError, match=re.escape(message)):
        require_renamable(histories, old, new)


def test_history_is_added_to_no_other_one_of_its_prefix():
    histories = [history("A:", "B:"), history("C:", revisions=0)]
    require_no_other(histories, "A:", "B:")
    require_no_other(histories, "X:", "C:")
    for prefix in ("A:", "B:"):
        with pytest.raises(RefusedError, match=r"a history of B: that began as A:, the other one began as X:"):
            require_no_other(histories, "X:", prefix)


def test_rename_leaves_every_row_as_it_was_and_is_verified(tmp_path):
    storage = SQLiteStorage(tmp_path / NAME)
    commit(storage, "A:", 1)
    before = storage.revision("A:", 1)
    assert storage.add("A:", RenameRecord(0, "A:", "B:", time_of(2), "alice@here")).number == 1
    assert first_prefix_of(storage.histories(), "B:") == "A:"
    assert storage.revision("A:", 1) == before
    storage.close()
    assert contents(tmp_path / NAME)
    again = SQLiteStorage(tmp_path / NAME)
    assert [(each.prefixes, each.revisions) for each in again.histories()] == [(("A:", "B:"), 1)]
    again.close()
