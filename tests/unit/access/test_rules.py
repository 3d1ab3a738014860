"""The short form of the access rules, and the rights without any."""

from ipaddress import IPv4Network

import pytest

from ponikeeper.access.rules import OPEN, Right, short_form


@pytest.mark.parametrize(
    ("hosts", "users", "user", "address", "right"),
    [
        (["10.28.0.0/16"], None, "eve", "10.28.255.1", Right.WRITE),
        (["10.28.0.0/16"], None, "eve", "10.29.0.1", Right.READ),
        (None, ["alice"], "alice", "1.2.3.4", Right.WRITE),
        (["10.28.1.5/32"], ["alice"], "eve", "10.28.1.5", Right.READ),
        ([], None, "alice", "10.28.1.5", Right.READ),
        (None, [], "alice", "10.28.1.5", Right.READ),
    ],
)
def test_short_form_admits_every_client_for_reading_and_those_in_both_lists_for_writing(
    hosts, users, user, address, right
):
    networks = None if hosts is None else frozenset(map(IPv4Network, hosts))
    rules = short_form(networks, None if users is None else frozenset(users), "")
    assert rules.right(user, address) is right


def test_without_rules_every_client_with_an_address_may_write():
    assert OPEN.right("eve", "192.0.2.1") is Right.WRITE
    assert OPEN.right("eve", "") is Right.NONE
