"""How what was recalled is shown to a person: numbers of events, and a table for a notebook. Pure."""

import html
from collections.abc import Iterable, Sequence

_HEAD = ("detector", "events", "geometry", "", "in force since", "")


def numbers(seq_nums: Sequence[int]) -> str:
    """Tell numbers of events by their ranges: ``1-4, 7``."""
    ordered = sorted(set(seq_nums))
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def as_html(rows: Iterable[Sequence[str]]) -> str:
    """Tell rows as a table for a notebook."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
