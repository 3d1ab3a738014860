"""Results: the outcome of a request, and the list of the latest ones."""

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
    """The outcome of one request.

    Parameters
    ----------
    request
        Id of the request; None where it had none.
    op
        Its operation.
    outcome
        ``undetermined`` where it is not known whether the store has it.
    revision, serial
        The revision and activation that it led to; None without them.
    errors
        Why it was refused.
    time
        When it ended, UTC ISO 8601.
    """

    request: str | None
    op: str
    outcome: Outcome
    revision: int | None
    serial: int | None
    errors: tuple[str, ...]
    time: str

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object.

        Returns
        -------
        dict
            Plain JSON values by the names of the parameters, as ``Results_RBV`` lists them.
        """
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
    """Format the text of ``Results_RBV``: up to 32 results, newest first, as many as fit.

    Parameters
    ----------
    results
        Newest first.
    limit
        Length of the PV (bytes).

    Returns
    -------
    str
        JSON.
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
    """Parse the text of ``Results_RBV``.

    Parameters
    ----------
    text
        JSON.

    Returns
    -------
    list of Result
        Newest first.

    Raises
    ------
    MessageError
        The text is not that of results of version 1.
    """
    try:
        rows = cast("list[dict[str, object]]", read_object(text, "results")["results"])
        return [Result(**{**row, "errors": tuple(cast("list[str]", row["errors"]))}) for row in rows]  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise MessageError(f"this is not a list of results: {error}") from None


def shortened(errors: Sequence[str]) -> tuple[str, ...]:
    """Shorten a list of reasons so that a result with them fits its PV.

    Parameters
    ----------
    errors
        Every reason.

    Returns
    -------
    tuple of str
        At most 16 reasons in ASCII; the last one says how many were omitted.
    """
    texts = [error if len(error) <= _MAX_ERROR_LENGTH else error[: _MAX_ERROR_LENGTH - 3] + "..." for error in errors]
    if len(texts) > _MAX_ERRORS:
        texts[_MAX_ERRORS - 1 :] = [f"and {len(texts) - _MAX_ERRORS + 1} more problems"]
    return tuple(to_ascii(error) for error in texts)
