"""Parsing of requests: every key is checked, and all problems are reported at once."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

from ponikeeper.errors import MessageError
from ponikeeper.geometry.files import NO_FILES, Files
from ponikeeper.protocol.json_text import decoded, read_object, require_whole
from ponikeeper.protocol.request import (
    Activate,
    Commit,
    Follow,
    InService,
    Label,
    OutOfService,
    RecordPosition,
    Request,
    RequestedPosition,
    Retract,
    Supersede,
    Undo,
)
from ponikeeper.protocol.schema import COMMON, FIELDS, MAX_ID_BYTES
from ponikeeper.text import strictjson
from ponikeeper.text.schema import object_problems
from ponikeeper.text.timestamps import normalized

_KINDS = {
    kind.op: kind
    for kind in (Activate, RecordPosition, Undo, Label, Follow, Supersede, Retract, OutOfService, InService)
}


def parse_request(text: str | bytes) -> Request:
    """Parse and check the text of one request.

    Parameters
    ----------
    text
        One JSON object, UTF-8.

    Returns
    -------
    Request
        The request; times in UTC.

    Raises
    ------
    MessageError
        With every problem, and with the request id where it can be read.
    """
    try:
        require_whole(text, "request")
        values = read_object(decoded(text), "request")
    except MessageError as error:
        ids = _extract_ids(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        raise MessageError(error.problems, ids.get("request"), ids.get("op")) from None
    request, op = _text_or_none(values.get("request")), _text_or_none(values.get("op"))
    fields = FIELDS.get(op or "")
    problems: list[str] = []
    if fields is None:
        fields = COMMON
        if "op" in values:
            problems.append(f"op {strictjson.dumps(values['op'])} is unknown: expected {' or '.join(FIELDS)}")
    problems += object_problems(values, fields)
    if problems:
        raise MessageError(problems, request, op)
    digest = hashlib.sha256(strictjson.canonical(values).encode()).hexdigest()
    return _made(cast("str", op), values, digest)


def _made(op: str, values: Mapping[str, object], digest: str) -> Request:
    request, author = cast("str", values["request"]), cast("str | None", values.get("author"))
    if op != Commit.op:
        values_by_field: dict[str, Any] = {key: value for key, value in values.items() if key not in ("v", "op")}
        for key in ("since", "until"):
            if values_by_field.get(key) is not None:
                values_by_field[key] = normalized(values_by_field[key])
        return _KINDS[op](**values_by_field, digest=digest)
    position = values.get("position")
    return Commit(
        geometry=cast("dict[str, object]", values["geometry"]),
        provenance=cast("dict[str, object]", values.get("provenance", {})),
        model=cast("dict[str, object] | None", values.get("model")),
        files=cast("Files", values.get("files", NO_FILES)),
        label=cast("str | None", values.get("label")),
        position="unknown" if position is None else cast("RequestedPosition", position),
        expect_revision=cast("int | None", values.get("expect_revision")),
        expect_serial=cast("int | None", values.get("expect_serial")),
        edit=bool(values.get("edit", False)),
        force=bool(values.get("force", False)),
        request=request,
        author=author,
        digest=digest,
    )


def _extract_ids(text: str) -> dict[str, str]:
    """Extract the ids from a text that is invalid elsewhere, so that its client finds the result."""
    ids: dict[str, str] = {}
    for key in ("request", "op"):
        match = re.search(rf'"{key}"\s*:\s*"([^"\\]{{1,{MAX_ID_BYTES}}})"', text)
        if match:
            ids[key] = match.group(1)
    return ids


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_ID_BYTES else None
