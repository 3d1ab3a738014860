"""EPICS access security files, and the rights that they give to a client."""

from ipaddress import IPv4Network

import pytest

from ponikeeper.access.acf import DEFAULT, parse
from ponikeeper.access.rules import Right, Rules
from ponikeeper.errors import AccessFileError

FILE = """
# who calibrates
UAG(scientists) {alice, "bob b"}
HAG(hutch) {10.28.1.5, console}
ASG(DEFAULT) {
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE) { UAG(scientists) HAG(hutch) }
}
ASG(OPEN) { RULE(1, WRITE) }
ASG(NOBODY)
"""


def resolve(host):
    known = {"console": ["10.28.1.6"], "gone": []}
    return frozenset(IPv4Network(address) for address in known.get(host, [host]))


@pytest.mark.parametrize(
    ("user", "address", "right"),
    [
        ("alice", "10.28.1.5", Right.WRITE),
        ("bob b", "10.28.1.6", Right.WRITE),
        ("alice", "10.28.1.7", Right.READ),
        ("eve", "10.28.1.5", Right.READ),
        ("", "10.28.1.5", Right.READ),
        ("alice", "hutch", Right.NONE),
        ("alice", "", Right.NONE),
        ("alice", "::1", Right.NONE),
    ],
)
def test_right_is_the_highest_of_the_rules_that_are_for_the_client(user, address, right):
    assert Rules(parse(FILE, resolve)["DEFAULT"]).right(user, address) is right


def test_groups_are_those_of_the_file_and_default():
    groups = parse(FILE, resolve)
    assert set(groups) == {"DEFAULT", "OPEN", "NOBODY"}
    assert Rules(groups["OPEN"]).right("eve", "10.0.0.1") is Right.WRITE
    assert Rules(groups["NOBODY"]).right("alice", "10.28.1.5") is Right.NONE
    assert parse("UAG(a)", resolve) == {DEFAULT: ()}


def test_rule_of_level_0_is_not_for_the_fields_of_level_1():
    rules = Rules(parse("ASG(DEFAULT) {RULE(0, READ)}", resolve)[DEFAULT])
    assert [rules.right("a", "10.0.0.1", level) for level in (0, 1)] == [Right.READ, Right.NONE]


def test_unknown_host_admits_no_client():
    text = "HAG(h) {gone} ASG(DEFAULT) {RULE(1, WRITE) {HAG(h)}}"
    assert Rules(parse(text, resolve)[DEFAULT]).right("a", "10.0.0.1") is Right.NONE


def test_group_without_members_admits_no_client():
    text = "UAG(u) ASG(DEFAULT) {RULE(1, WRITE) {UAG(u)}}"
    assert Rules(parse(text, resolve)[DEFAULT]).right("", "10.0.0.1") is Right.NONE


BAD = {
    "no end": ("UAG(a", 'line 1: the end of the file: expected ")"'),
    "no members": ("UAG(a) {}", 'line 1: "}": expected a name'),
    "number for a name": ("UAG(a) {12}", 'line 1: "12": expected a name'),
    "comma too many": ("UAG(a) {b,,c}", 'line 1: ",": expected a name'),
    "unknown word": ("\n\nFOO(a)", 'line 3: "FOO": expected UAG, HAG or ASG'),
    "unknown character": ("UAG(a) {@}", "line 1: '@}' is not valid here"),
    "text without an end": ('UAG("a) {b}', "line 1: '\"a) {b}' is not valid here"),
    "twice": ("UAG(a) {b}\nUAG(a) {c}", "line 2: a is defined twice"),
    "unknown group": (
        "ASG(A) {RULE(1, READ) {UAG(b)}}",
        "line 1: UAG(b) is not defined above: expected one of none",
    ),
    "group below": ("ASG(A) {RULE(1, READ) {HAG(b)}}\nHAG(b) {c}", "line 1: HAG(b) is not defined above"),
    "nothing": ("\n# later\n", "line 3: the end of the file: expected UAG, HAG or ASG"),
    "no rules": ("ASG(A) {}", 'line 1: "}": expected RULE'),
    "no conditions": ("ASG(A) {RULE(1, READ) {}}", 'line 1: "}": expected UAG, HAG or "}"'),
    "level": ("ASG(A) {RULE(high, READ)}", 'line 1: "high": expected the level, such as 1'),
    "right": ("ASG(A) {\nRULE(1, write)}", 'line 2: "write": expected NONE, READ, WRITE'),
    "option": ("ASG(A) {RULE(1, WRITE, LOG)}", 'line 1: "LOG": expected TRAPWRITE or NOTRAPWRITE'),
    "input": ('ASG(A) {\n INPA("x:y")\n}', 'line 2: "INPA": expected RULE (rules cannot depend on PVs here)'),
    "formula": (
        'ASG(A) {RULE(1, WRITE) {\nCALC("A=1")}}',
        'line 2: "CALC": expected UAG, HAG or "}" (rules cannot depend',
    ),
    "method": ('ASG(A) {RULE(1, WRITE) {METHOD("x509")}}', 'line 1: "METHOD": expected UAG, HAG or "}"'),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
def test_file_that_cannot_be_used_is_refused_with_its_line(text, says):
    with pytest.raises(AccessFileError) as raised:
        parse(text, resolve)
    assert says in str(raised.value)
