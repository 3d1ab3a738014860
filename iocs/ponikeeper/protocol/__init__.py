"""Requests, results, snapshots and links: the JSON texts that cross Channel Access, version 1.

A request asks for one change, a result reports its outcome, a snapshot has everything that is active (the
only atomic read that CA offers), and the links have the values of the linked PVs. `ponikeeper.protocol.examples`
has one of each.
"""

from ponikeeper.protocol.assumed_errors import DEFAULT_ERRORS, AssumedErrors
from ponikeeper.protocol.json_text import MAX_BYTES, MAX_STRING_BYTES, VERSION, require_whole
from ponikeeper.protocol.link_values import (
    calibrated_value,
    is_within,
    measures_beam,
    nominal_value,
    quantity,
    wavelength_of,
)
from ponikeeper.protocol.links import (
    LinkState,
    links_json,
    parse_extrapolate,
    parse_links,
    parse_settle,
    position_now,
)
from ponikeeper.protocol.parse import parse_request
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
    label_problem,
    request_text,
)
from ponikeeper.protocol.result import MAX_RESULTS, Result, parse_results, results_json, shortened
from ponikeeper.protocol.schema import PROVENANCE
from ponikeeper.protocol.snapshot import Snapshot
from ponikeeper.protocol.status import Status, applies

__all__ = [
    "DEFAULT_ERRORS",
    "MAX_BYTES",
    "MAX_RESULTS",
    "MAX_STRING_BYTES",
    "PROVENANCE",
    "VERSION",
    "Activate",
    "AssumedErrors",
    "Commit",
    "Follow",
    "InService",
    "Label",
    "LinkState",
    "OutOfService",
    "RecordPosition",
    "Request",
    "RequestedPosition",
    "Result",
    "Retract",
    "Snapshot",
    "Status",
    "Supersede",
    "Undo",
    "applies",
    "calibrated_value",
    "is_within",
    "label_problem",
    "links_json",
    "measures_beam",
    "nominal_value",
    "parse_extrapolate",
    "parse_links",
    "parse_request",
    "parse_results",
    "parse_settle",
    "position_now",
    "quantity",
    "request_text",
    "require_whole",
    "results_json",
    "shortened",
    "wavelength_of",
]
