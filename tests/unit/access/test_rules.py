"""The short form of the access rules, and the rights without any."""

from ipaddress import IPv4Network

import pytest

from ponikeeper.access.rules import OPEN, Right, Rule, Rules, short_form


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


FLOOR, HUTCH, ANYWHERE = (frozenset({IPv4Network(text)}) for text in ("10.28.0.0/16", "10.28.1.0/24", "0.0.0.0/0"))
HALVES = frozenset({IPv4Network("10.28.0.0/17"), IPv4Network("10.28.128.0/17")})
OPS = frozenset({"ops"})


@pytest.mark.parametrize(
    ("group", "depends"),
    [
        ([Rule(Right.READ), Rule(Right.WRITE, OPS)], False),
        ([Rule(Right.WRITE, OPS)], True),
        ([Rule(Right.NONE, OPS)], False),
        ([Rule(Right.WRITE, frozenset())], False),
        ([Rule(Right.READ, None, FLOOR), Rule(Right.WRITE, OPS)], True),
        ([Rule(Right.READ, None, FLOOR), Rule(Right.WRITE, OPS, HUTCH)], False),
        ([Rule(Right.READ, None, HUTCH), Rule(Right.READ, OPS, FLOOR)], True),
        ([Rule(Right.READ, None, HALVES), Rule(Right.WRITE, OPS, FLOOR)], False),
        ([Rule(Right.READ, None, ANYWHERE), Rule(Right.WRITE, OPS)], False),
        ([Rule(Right.READ, None, frozenset()), Rule(Right.WRITE, OPS, HUTCH)], True),
        ([], False),
    ],
)
def test_reading_depends_on_the_user_where_a_rule_about_users_goes_beyond_those_for_all(group, depends):
    assert Rules(tuple(group)).reading_depends_on_user() is depends


def test_without_rules_every_client_with_an_address_may_write():
    assert OPEN.right("eve", "192.0.2.1") is Right.WRITE
    assert OPEN.right("eve", "") is Right.NONE
