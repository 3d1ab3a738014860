"""The labels on the buttons of a screen: where they are, and when a button is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import RefusedError
from ponikeeper.protocol.label_buttons import COUNT, LabelButtons

NAMES = tuple("abcdefghij")


def test_labels_get_the_buttons_in_their_order_and_keep_them():
    buttons = LabelButtons().updated(["near", "far"], 0.0)
    assert buttons.labels == ("near", "far", "", "", "", "")
    buttons = buttons.updated(["far", "tilted", "near"], 1.0)
    assert buttons.labels == ("near", "far", "tilted", "", "", "")
    buttons = buttons.updated(["tilted", "far"], 2.0)  # every revision labelled near was retracted
    assert buttons.labels == ("", "far", "tilted", "", "", "")


@given(steps=st.lists(st.permutations(NAMES).map(lambda names: names[: len(names) - ord(names[0]) % 7]), min_size=1))
def test_newest_labels_are_offered_once_each_and_none_moves(steps):
    buttons = LabelButtons()
    for now, labels in enumerate(steps):
        before, buttons = buttons, buttons.updated(labels, float(now))
        assert sorted(filter(None, buttons.labels)) == sorted(labels[:COUNT])
        for old, new in zip(before.labels, buttons.labels, strict=True):
            assert old == new or old not in labels[:COUNT]


def test_button_that_has_just_got_another_label_is_refused_for_a_while():
    buttons = LabelButtons().updated(list(NAMES[:COUNT]), 0.0).updated(["new", *NAMES], 100.0)
    number = buttons.labels.index("new") + 1
    with pytest.raises(RefusedError, match=f"button {number} has just become new"):
        buttons.label(number, 109.9)
    assert buttons.label(number, 110.0) == "new"
    assert buttons.label(1, 100.0) == "a"


@pytest.mark.parametrize("number", [-1, 0, 2, COUNT, COUNT + 1, 2**31 - 1])
def test_button_without_a_label_is_refused(number):
    with pytest.raises(RefusedError, match=f"button {number} has no label: expected one of 1,"):
        LabelButtons().updated(["near"], 0.0).label(number, 1.0)
    with pytest.raises(RefusedError, match="expected a label, which no revision has"):
        LabelButtons().label(number, 1.0)
