"""The history as a tree: under each revision those that it superseded, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from ponikeeper.cli.rendering import in_a_line, period
from ponikeeper.text import timestamps

_INDENT, _READABLE = 4, 50
"""Columns of one level, and of a text that can be read."""


def history_tree(
    prefix: str,
    rows: Sequence[Mapping[str, Any]],
    corrections: Mapping[int, Sequence[Mapping[str, Any]]],
    in_force: int,
) -> Tree:
    """Show revisions, newest first, each under the one that replaces it now.

    Parameters
    ----------
    rows
        The revisions listed, newest first, each with the judgement that decides on it now, or None.
    judgements
        By revision, all that were made; those that do not decide now are shown at the revision that they name, too.
    in_force
        Number of the revision in force.
    """
    tree = Tree(Text(f"history of {prefix}"))
    nodes = {row["revision"]: Tree(_label(row, corrections.get(row["revision"], ()), in_force)) for row in rows}
    for row in rows:
        home = row["judgement"] and row["judgement"]["by"]
        nodes.get(home, tree).children.append(nodes[row["revision"]])
    for row in rows:
        decides = row["judgement"] and row["judgement"]["number"]
        for correction in corrections.get(row["revision"], ()):
            if correction["number"] != decides and correction["by"] in nodes:
                nodes[correction["by"]].add(_mention(row, correction))
    return tree


def room(tree: Tree) -> int:
    """Give how wide a terminal has to be for a tree (columns)."""
    return _depth(tree) * _INDENT + _READABLE


def _depth(tree: Tree) -> int:
    level, depth = tree.children, 0
    while level:
        level, depth = [child for node in level for child in node.children], depth + 1
    return depth


def _label(row: Mapping[str, Any], corrections: Sequence[Mapping[str, Any]], in_force: int) -> Text:
    """Tell of a revision, and in a line of its own each thing that was found out about it."""
    wrong = row["judgement"] is not None
    text = Text(_name(row), style="dim" if wrong else "")
    text.append(f" {timestamps.to_minutes(row['created'])}")
    text.append("".join(f" {row[key]}" for key in ("method", "calibrant") if row[key]))
    if row["revision"] == in_force:
        text.append(" in force", style="bold red" if wrong else "bold green")
    for correction in corrections:
        what = "retracted" if correction["by"] is None else f"superseded by revision {correction['by']}"
        text.append(f"\n{what}{_why(correction)}", style="red")
    return text


def _mention(row: Mapping[str, Any], correction: Mapping[str, Any]) -> Text:
    """Tell, at the revision that is right, of one that is replaced for a time, or was until something else was said."""
    return Text(f"{_name(row)} superseded{_why(correction)}", style="dim")


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['revision']} ({row['label']})" if row["label"] else str(row["revision"])


def _why(correction: Mapping[str, Any]) -> str:
    when = period(correction["since"], correction["until"])
    return f"{when and f' {when}'}: {in_a_line(correction['reason'])} ({correction['author']})"
