"""EPICS base and ponikeeper grant the same rights for the same access security file; each difference has its reason."""

import itertools
import random
from ipaddress import IPv4Network

import pytest

from base_ioc import GROUPS, SoftIoc
from live import free_ports
from ponikeeper.access.acf import DEFAULT, parse
from ponikeeper.access.rules import Right, Rules
from ponikeeper.errors import AccessFileError
from speak import Wire

USERS = ("alice", "bob", "eve", "Alice")
SOURCES = ("127.0.0.1", "127.0.0.2")
LEVELS = {0: "", 1: ".DESC"}

OPERATORS = "UAG(ops) {alice, bob}\nUAG(guests) {eve}\nHAG(hutch) {127.0.0.2}\nHAG(office) {localhost}\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    (port,) = free_ports(1)
    with SoftIoc("SOFT:", port, tmp_path_factory.mktemp("softioc")) as ioc:
        yield ioc


def resolve(host):
    return frozenset({IPv4Network({"localhost": "127.0.0.1"}.get(host, host))})


def rights_of_base(base):
    """Read from the C IOC the rights of every client to each field."""
    found = {}
    for user, source in itertools.product(USERS, SOURCES):
        with Wire(base.port, user=user, source=source) as wire:
            for group, (level, field) in itertools.product(GROUPS, LEVELS.items()):
                channel = wire.channel(f"{base.name}{group}{field}")
                found[user, source, group, level] = Right(wire.rights[channel.cid].bit_count())
    return found


def rights_of_ours(text):
    groups = parse(text, resolve)
    return {
        (user, source, group, level): Rules(groups.get(group, groups[DEFAULT])).right(user, source, level)
        for user, source, group, level in itertools.product(USERS, SOURCES, GROUPS, LEVELS)
    }


SAME = [
    "ASG(DEFAULT)",
    "ASG(DEFAULT) {RULE(1, NONE)}",
    "ASG(DEFAULT) {RULE(1, READ)}",
    "ASG(DEFAULT) {RULE(1, WRITE)}",
    "ASG(DEFAULT) {RULE(0, WRITE)}",
    "ASG(DEFAULT) {RULE(0, WRITE) RULE(1, READ)}",
    "ASG(DEFAULT) {RULE(1, READ) RULE(0, WRITE, TRAPWRITE)}",
    "ASG(DEFAULT) {RULE(1, WRITE, NOTRAPWRITE)}",
    "ASG(OPS) {RULE(1, WRITE)}",
    "ASG(DEFAULT) {RULE(1, READ)} ASG(OPS) {RULE(1, WRITE)}",
    "ASG(DEFAULT){RULE(1,READ)}ASG(OPS){RULE(1,NONE)}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {UAG(ops)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {HAG(hutch)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {HAG(office)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {UAG(ops) HAG(hutch)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {HAG(hutch) UAG(ops)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {UAG(ops, guests)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {UAG(ops) UAG(guests)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {HAG(hutch, office)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, READ) {UAG(guests)} RULE(1, WRITE) {UAG(ops) HAG(hutch)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(1, WRITE) {UAG(ops)} RULE(1, NONE) {UAG(ops)}}",
    OPERATORS + "ASG(DEFAULT) {RULE(0, WRITE) {UAG(ops)} RULE(1, WRITE) {HAG(hutch)}}",
    "UAG(nobody)\nASG(DEFAULT) {RULE(1, WRITE) {UAG(nobody)}}",
    "HAG(nowhere)\nASG(DEFAULT) {RULE(1, WRITE) {HAG(nowhere)}}",
    'UAG("the ops") {"alice"}\nASG("OPS") {RULE(1, WRITE) {UAG("the ops")}}',
    "UAG(ops) {alice, alice}\nASG(DEFAULT) {RULE(1, WRITE) {UAG(ops)}}",
    "UAG(x) {alice} HAG(x) {127.0.0.2} ASG(DEFAULT) {RULE(1, WRITE) {UAG(x) HAG(x)}}",
    "ASG(DEFAULT) { # who\n RULE(1, READ) # everybody\n }",
    "ASG(DEFAULT) {RULE(2, READ)}",
]

REFUSED = [
    "",
    "# nothing\n",
    "ASG(DEFAULT) {}",
    "ASG(DEFAULT) {RULE(1, WRITE) {}}",
    "ASG(DEFAULT",
    "ASG(DEFAULT) {RULE(high, READ)}",
    "ASG(DEFAULT) {RULE(-1, READ)}",
    "ASG(DEFAULT) {RULE(1 READ)}",
    "ASG(DEFAULT) {RULE(1, READ) {UAG(unknown)}}",
    "ASG(DEFAULT) {RULE(1, READ) {HAG(unknown)}}",
    "UAG(a) {b} UAG(a) {c}",
    "HAG(a) {127.0.0.1} HAG(a) {127.0.0.1}",
    "ASG(OPS) {RULE(1, READ)} ASG(OPS) {RULE(1, WRITE)}",
    "UAG(ops) {}",
    "UAG(ops) {alice,}",
    "UAG() {alice}",
    "UAG(ops) {alice bob}",
    "}",
]

REFUSED_HERE = {
    "CALC depends on PVs": 'ASG(DEFAULT) {INPA("SOFT:DEFAULT") RULE(1, WRITE) {CALC("A=1")}}',
    "INPA depends on PVs, although no rule uses it": 'ASG(DEFAULT) {INPA("SOFT:DEFAULT") RULE(1, WRITE)}',
    "base omits a rule with an unknown right": "ASG(DEFAULT) {RULE(1, READ) RULE(1, write)}",
    "base omits a rule with an unknown condition": 'ASG(DEFAULT) {RULE(1, WRITE) {ROLE("admin")}}',
    "base omits an unknown block": "ROLES(a) {b} ASG(DEFAULT) {RULE(1, READ)}",
}
"""Files that base accepts and ponikeeper refuses, with the reason: base omits rules that were written."""


def drawn(seed):
    """Draw the text of an access security file."""
    draw = random.Random(seed)
    lines = []
    for kind, members in (("UAG", USERS), ("HAG", SOURCES)):
        lines += [
            f"{kind}({name}) {{{', '.join(draw.sample(members, draw.randint(1, len(members))))}}}" for name in "ab"
        ]
    for group in draw.sample(GROUPS[:2], draw.randint(1, 2)):
        rules = []
        for _ in range(draw.randint(1, 4)):
            conditions = [
                f"{kind}({', '.join(draw.sample('ab', draw.randint(1, 2)))})"
                for kind in draw.choice(([], ["UAG"], ["HAG"], ["UAG", "HAG"]))
            ]
            rule = f"RULE({draw.randint(0, 1)}, {draw.choice(('NONE', 'READ', 'WRITE'))})"
            rules.append(f"{rule} {{{' '.join(conditions)}}}" if conditions else rule)
        lines.append(f"ASG({group}) {{{' '.join(rules)}}}")
    return "\n".join(lines)


@pytest.mark.parametrize("text", SAME + [drawn(seed) for seed in range(20)])
def test_file_grants_every_client_the_same_rights_as_base(base, text):
    assert base.take(text)
    assert rights_of_ours(text) == rights_of_base(base)


@pytest.mark.parametrize("text", REFUSED)
def test_file_that_base_refuses_is_refused(base, text):
    assert not base.take(text)
    with pytest.raises(AccessFileError):
        parse(text, resolve)


@pytest.mark.parametrize("text", REFUSED_HERE.values(), ids=REFUSED_HERE)
def test_file_of_which_base_omits_a_part_is_refused(base, text):
    assert base.take(text)
    with pytest.raises(AccessFileError):
        parse(text, resolve)


@pytest.mark.campaign
def test_a_thousand_files_grant_every_client_the_same_rights_as_base(base):
    wrong = []
    for seed in range(1000, 2000):
        text = drawn(seed)
        if not base.take(text) or rights_of_ours(text) != rights_of_base(base):
            wrong.append(text)
    each = len(USERS) * len(SOURCES) * len(GROUPS) * len(LEVELS)
    print(f"1000 files, {1000 * each} rights compared: {len(wrong)} files differ")
    assert wrong == []
