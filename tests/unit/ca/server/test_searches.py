"""Replies to searches."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.ca.server.searches import MAX_DATAGRAM, SearchResponder, search_replies
from raw import message


def known(name):
    return name in ("P:D", "P:L")


def search(name, cid, reply=5):
    return message(6, name + b"\0", reply, 13, cid, cid)


def test_known_names_are_answered_in_one_datagram_with_the_number_of_the_search():
    datagram = message(0, b"", 1, 13, 55) + search(b"P:D", 1) + search(b"NO", 2) + search(b"P:L", 3)
    body = struct.pack(">Hxxxxxx", 13)
    expected = message(0, b"", 1, 13, 55)
    expected += message(6, body, 45101, 0, 0xFFFFFFFF, 1) + message(6, body, 45101, 0, 0xFFFFFFFF, 3)
    assert search_replies(datagram, 45101, known) == expected


def test_unknown_names_are_not_answered():
    assert search_replies(search(b"NO", 1, 10), 5064, known) == b""


def test_search_without_a_version_is_answered():
    assert search_replies(search(b"P:D", 4), 5064, known).endswith(struct.pack(">IIHxxxxxx", 0xFFFFFFFF, 4, 13))


@given(st.binary(max_size=300))
def test_any_datagram_is_answered_or_ignored(datagram):
    assert search_replies(datagram, 5064, known) in (b"", search_replies(datagram, 5064, known))


@given(st.binary(max_size=40), st.integers(0, 60))
def test_datagram_that_is_cut_is_answered_up_to_there(rest, cut):
    whole = search(b"P:D", 1) + search(b"P:L", 2)
    replies = search_replies(whole[:cut] + rest[:0], 5064, known)
    assert len(replies) in (0, 16 + 24, 16 + 48)


def test_ignored_host_gets_no_reply():
    responder = SearchResponder(lambda name: known(name) or None, 5064, frozenset({"10.0.0.1"}))
    assert responder.replies(search(b"P:D", 1), "10.0.0.1") == b""
    assert responder.replies(search(b"P:D", 1), "10.0.0.2") != b""


def test_what_is_behind_the_first_bytes_of_a_huge_datagram_is_ignored():
    one = search(b"P:D", 1)
    answered = search_replies(one * 4000, 5064, known).count(struct.pack(">H", 5064))
    assert answered == MAX_DATAGRAM // len(one)
