"""Transactions over pyepics: put a request, and find its result by its id."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.geometry import value_problem
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Commit, Request, Result, Snapshot, request_text
from ponikeeper.protocol.exchange import Exchange, Read, Wait
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.reduction import KEPT, with_reduction
from ponikeeper.system.file_hash import file_entry
from ponikeeper.text import strictjson
from ponikeeper_client import documents
from ponikeeper_client._fresh_gets import silent_text
from ponikeeper_client._guarded_signals import POLL, GuardedWritable
from ponikeeper_client._signals import TextSignal

_LOOK = 0.1
"""How long to wait for the first value of the results' monitor (s)."""


def with_checked_files(commit: Commit, active: Snapshot, mask: str | Path | None) -> Commit:
    """Return a commit with path and SHA-256 of its files, and of a mask that suits the detector.

    Parameters
    ----------
    commit
        The commit.
    active
        The active geometry, of which the commit changes some values.
    mask
        File of the mask; None if there is none.

    Raises
    ------
    GeometryFileError
        A file cannot be read.
    ImageError, ShapeError
        The file is no mask of this detector.
    """
    complete = with_files(commit, file_entry, mask)
    if mask is not None:
        before = {} if active.geometry is None else active.geometry.as_dict()
        documents.check_mask(mask, {**before, **commit.geometry})
    return complete


def manual(
    values: Mapping[str, Any],
    active: Snapshot,
    expect_revision: int | None,
    integration: Mapping[str, object] | None = KEPT,
    *,
    has_mask: bool = False,
) -> Commit:
    """Build a manual commit: of a whole geometry for the present position of the links, or an edit of some values.

    Without values, but with integration settings or a mask, it is the active geometry with these.

    Parameters
    ----------
    values
        Values by name (m, rad), also as numpy numbers; `detector_config` also as the JSON text that is recorded.
    active
        The active geometry.
    expect_revision
        Refuse unless this revision is active; None is any.
    integration
        Integration settings; None removes them, and an empty mapping keeps them.
    has_mask
        Whether a mask is added to the commit.

    Returns
    -------
    Commit
        A commit without an id.

    Raises
    ------
    RefusedError
        A value cannot be sent: it is not valid JSON.
    """
    changes = integration is None or bool(integration)
    if not values and (changes or has_mask):
        commit = with_reduction(active, integration)
        return commit if expect_revision is None else replace(commit, expect_revision=expect_revision)
    provenance: dict[str, object] = {"method": "manual"}
    if changes:
        provenance["integration"] = None if integration is None else dict(integration)
    plain_values = {name: _plain(name, value) for name, value in values.items()}
    if not plain_values.keys() >= set(NAMES):
        return Commit(plain_values, provenance, expect_revision=expect_revision, edit=True)
    if active.revision:
        provenance["derived_from"] = active.revision
    return Commit(plain_values, provenance, position="now", expect_revision=expect_revision)


class Transactor:
    """Puts requests to one IOC and finds their results; may be used from any thread.

    Parameters
    ----------
    request, results
        The PVs of the same names.
    timeout
        How long the IOC may take to answer (s).
    """

    def __init__(self, request: GuardedWritable, results: TextSignal, timeout: float) -> None:
        self._request = request
        self._results, self._timeout = results, timeout
        self._put_lock = threading.Lock()

    def run(self, request: Request, timeout: float) -> Result:
        """Run one transaction and return its result.

        Parameters
        ----------
        request
            Any request; without an id it gets one.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            An accepted one.

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            No result came in time.
        DestroyedError
            The device was destroyed; it is then unknown whether the transaction was stored.
        """
        request = identified(request)
        text, clock = checked_text(request), time.monotonic
        exchange = Exchange(
            str(request.request),
            self._request.pvname,
            self._results.pvname,
            now=clock(),
            timeout=timeout,
            answer_timeout=self._timeout,
            pause=POLL,
        )
        while not isinstance(step := exchange.step(clock()), Result):
            if isinstance(step, Wait):
                self._request.check_alive()
                time.sleep(max(0.0, step.until - clock()))
            elif isinstance(step, Read):
                with suppress(NotConnectedError):
                    exchange.read(self._results.newest(min(step.until, clock() + _LOOK)), clock())
            else:
                self._put(exchange, text, step.until)
        return step

    def _put(self, exchange: Exchange, text: str, until: float) -> None:
        """Put a request, and report to the exchange what came of it."""
        with self._request.in_use() as pv:
            if not self._request.wait_for(lambda: pv.connected, until):
                exchange.not_connected(silent_text(pv.pvname, self._timeout), time.monotonic())
            elif not pv.write_access:
                exchange.denied()
            else:
                with self._put_lock:
                    pv.put(text, use_complete=True)  # without it libca would print each refusal
                exchange.sent(time.monotonic())


def identified(request: Request) -> Request:
    """Return a request with an id: its own, or a new one."""
    return request if request.request else replace(request, request=uuid4().hex)


def _plain(name: str, value: Any) -> Any:
    if name == "detector_config" and isinstance(value, str):
        try:
            return strictjson.loads(value)
        except ValueError as error:
            raise RefusedError(f"detector_config is not valid JSON: {error}") from None
    return value.item() if hasattr(value, "item") else value


def checked_text(request: Request) -> str:
    """Return a request as JSON; raises `RefusedError` if it holds what JSON cannot represent."""
    try:
        return request_text(request)
    except (TypeError, ValueError) as error:  # such as NaN
        values = request.geometry if isinstance(request, Commit) else {}
        problems = [problem for name, value in values.items() if (problem := value_problem(name, value))]
        raise RefusedError(problems or str(error)) from None
