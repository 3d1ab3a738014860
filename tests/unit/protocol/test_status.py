"""The statuses: each has a severity and a place in the precedence; which of them permit the use of a geometry."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ponikeeper
import ponikeeper_client
from ponikeeper.protocol import applies
from ponikeeper.protocol.status import PRECEDENCE, SEVERITIES, Status, reaches


def test_every_status_has_a_severity_and_one_place_in_the_precedence():
    assert set(SEVERITIES) == set(Status)
    assert sorted(PRECEDENCE) == sorted(Status)


@pytest.mark.parametrize("form", [Status, str])
def test_statuses_that_permit_the_use_of_a_geometry(form):
    permitting = {status.name for status in Status if applies(status if form is Status else status.name)}
    assert permitting == {"VALID", "UNWATCHED", "UNCERTAIN"}


@pytest.mark.parametrize("name", ["CONDEMNED", "", "valid", "a status of a newer IOC"])
def test_status_that_is_not_known_does_not_permit_it(name):
    assert not applies(name)


def test_waiting_for_valid_ends_where_no_link_is_watched():
    assert reaches("VALID", "VALID")
    assert reaches("UNWATCHED", "VALID")
    assert not reaches("MOVED", "VALID")
    assert reaches("MOVED", "MOVED")
    assert not reaches("VALID", "UNWATCHED")


def is_valid(node: ast.AST) -> bool:
    """Return whether an expression is "VALID", `Status.VALID`, or its name or value."""
    if isinstance(node, ast.Attribute) and node.attr in ("name", "value"):
        return is_valid(node.value)
    return (isinstance(node, ast.Constant) and node.value == "VALID") or (
        isinstance(node, ast.Attribute) and node.attr == "VALID" and "Status" in ast.unparse(node.value)
    )


def comparisons_with_valid(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare with VALID, match it, or list it in a collection for `in`."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = node.args if node.func.attr in ("startswith", "endswith", "index", "count", "get") else []
        if any(is_valid(part) for part in parts):
            yield node.lineno


def test_only_the_predicate_compares_with_valid():
    """A site without links would otherwise wait for ever, and an UNCERTAIN geometry be refused."""
    found = [
        f"{file}:{line}"
        for package in (ponikeeper, ponikeeper_client)
        for file in Path(package.__path__[0]).rglob("*.py")
        for line in comparisons_with_valid(ast.parse(file.read_text(encoding="utf-8")))
        if not file.match("ponikeeper/protocol/status.py")
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        'status == "VALID"', '"VALID" != status', 'status in ("VALID", "MOVED")', "Status.VALID is status",
        "status.name == Status.VALID.name", "match status:\n    case Status.VALID:\n        pass",
        'OK = {"VALID"}', 'text.startswith("VALID")', "SEVERITY.get(protocol.Status.VALID)",
    ],
)  # fmt: skip
def test_comparison_with_valid_is_found(code):
    assert list(comparisons_with_valid(ast.parse(code)))


def test_what_is_no_comparison_is_not_found():
    assert not list(comparisons_with_valid(ast.parse('"wait for VALID"; x = Status.VALID; AlarmSeverity.INVALID == y')))
