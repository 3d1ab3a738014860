"""Which copies of a store `ponikeeper backup --keep` removes."""

import pytest

from ponikeeper.cli.backup import _superfluous


def made(folder, *days):
    paths = [folder / f"28id1.202611{day:02}T010000.000000Z.sqlite" for day in days]
    for path in paths:
        path.touch()
    return paths


@pytest.mark.parametrize(("keep", "removed"), [(0, 0), (1, 3), (2, 2), (3, 1), (4, 0), (9, 0)])
def test_oldest_copies_are_removed(tmp_path, keep, removed):
    *others, newest = made(tmp_path, 1, 2, 3, 4)
    (tmp_path / "other.20260101T010000.000000Z.sqlite").touch()
    assert _superfluous(newest, "28id1", keep) == others[:removed]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_copy_that_was_just_made_stays_although_the_clock_was_set_back(tmp_path, keep):
    newest, *others = made(tmp_path, 1, 2, 3, 4)
    assert _superfluous(newest, "28id1", keep) == others[: 4 - keep]
