"""A result: how one transaction ended, and the list of the last ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ponikeeper.errors import MessageError
from ponikeeper.protocol.json_text import MAX_BYTES, VERSION, read_object
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import to_ascii

MAX_RESULTS = 32

_MAX_ERRORS = 16

_MAX_ERROR_LENGTH = 400

Outcome = Literal["accepted", "refused", "undetermined"]


@dataclass(frozen=True, slots=True)
class Result:
    """How one transaction ended."""

    request: str | None
    op: str
    outcome: Outcome
    revision: int | None
    serial: int | None
    errors: tuple[str, ...]
    time: str

    def as_dict(self) -> dict[str, object]:
        """Give the JSON object."""
        return {
            "request": self.request,
            "op": self.op,
            "outcome": self.outcome,
            "revision": self.revision,
            "serial": self.serial,
            "errors": list(self.errors),
            "time": self.time,
        }


def results_json(results: Sequence[Result], limit: int = MAX_BYTES) -> str:
    """Write the text of ``Results_RBV``: up to 32, newest first, as many as fit.

    Parameters
    ----------
    limit
        Length of the PV (bytes).
    """
    rows: list[str] = []
    size = len(strictjson.dumps({"v": VERSION, "results": []}))
    for result in results[:MAX_RESULTS]:
        row = strictjson.dumps(result.as_dict())
        size += len(row) + 2
        if size > limit:
            break
        rows.append(row)
    return f'{{"v": {VERSION}, "results": [{", ".join(rows)}]}}'


def parse_results(text: str) -> list[Result]:
    """Read the text of ``Results_RBV``.

    Raises
    ------
    MessageError
        The text holds no results of version 1.
    """
    try:
        rows = cast("list[dict[str, object]]", read_object(text, "results")["results"])
        return [Result(**{**row, "errors": tuple(cast("list[str]", row["errors"]))}) for row in rows]  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise MessageError(f"these are no results: {error}") from None


def shortened(errors: Sequence[str]) -> tuple[str, ...]:
    """Cut a list of reasons so that a result with them fits its PV, and say that it was cut."""
    kept = [error if len(error) <= _MAX_ERROR_LENGTH else error[: _MAX_ERROR_LENGTH - 3] + "..." for error in errors]
    if len(kept) > _MAX_ERRORS:
        kept[_MAX_ERRORS - 1 :] = [f"and {len(kept) - _MAX_ERRORS + 1} more problems"]
    return tuple(to_ascii(error) for error in kept)
