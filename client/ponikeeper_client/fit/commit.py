"""Commit what was fitted, and print what is active then: ``--put`` of `ponikeeper fit` and `ponikeeper model fit`."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from ponikeeper.errors import CalibrationError, ConfigError, NotConnectedError
from ponikeeper.protocol import (
    DEFAULT_ERRORS,
    AssumedErrors,
    Commit,
    LinkState,
    Result,
    Snapshot,
    applies,
    label_problem,
)
from ponikeeper.protocol.outcome import outcome_lines
from ponikeeper.protocol.position_choice import PositionWord, choose_position, given_position
from ponikeeper.system import terminal
from ponikeeper.system.terminal import make_console

if TYPE_CHECKING:
    from ponikeeper_client.device import CalibrationData

_console = make_console()

_CONNECT_TIMEOUT = 10.0
"""How long to wait for an IOC (s)."""

_WAIT_TIMEOUT = 60.0
"""Default seconds to wait until a geometry applies."""

_POLL_PERIOD = 0.1
"""Seconds between two reads of the status."""

_LATER = "a PONI file written with -o can be committed later, with ponikeeper put"


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """Where and how a fitted geometry is committed.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    label
        Label of the revision.
    position
        The position of the links; None asks, if there is a terminal.
    seconds
        How long to wait until the geometry applies (s); None does not wait.
    """

    prefix: str
    label: str | None
    position: PositionWord | None
    seconds: float | None


def parse_commit_options(
    prefix: str | None, label: str | None, here: bool, no_position: bool, wait: bool, timeout: float | None
) -> CommitOptions | None:
    """Parse the options that describe the commit of a fitted geometry.

    Parameters
    ----------
    prefix
        Value of ``--put``.
    label, here, no_position, wait, timeout
        Values of the options of these names.

    Returns
    -------
    CommitOptions or None
        None without ``--put``: nothing is committed.

    Raises
    ------
    CalibrationError, ConfigError
        An option needs another one, or two contradict each other.
    """
    if prefix is None:
        given = {"--label": label, "--here": here, "--no-position": no_position, "--wait": wait, "--timeout": timeout}
        for option, value in given.items():
            if value not in (None, False):
                raise CalibrationError(f"{option} is about the commit of the geometry: it needs --put PREFIX too")
        return None
    require_label(label)
    return CommitOptions(prefix, label, given_position(here, no_position), wait_seconds(wait, timeout))


def require_label(label: str | None) -> None:
    """Check the value of ``--label`` before anything is done; raises `ConfigError`."""
    if label is not None and (problem := label_problem(label)):
        raise ConfigError(f"--{problem}")


def wait_seconds(wait: bool, timeout: float | None) -> float | None:
    """Return how long to wait until a geometry applies (s), None not at all; raises `CalibrationError`."""
    if timeout is not None and not (wait and 0 < timeout < math.inf):
        raise CalibrationError(f"--timeout {timeout:g} is not allowed: expected --wait, and seconds, more than 0")
    return (_WAIT_TIMEOUT if timeout is None else timeout) if wait else None


@dataclass(frozen=True, slots=True)
class Committer:
    """The IOC that gets a geometry or a model.

    Parameters
    ----------
    options
        Where and how to commit.
    calib
        The device of its calibration.
    assumed
        The errors that the IOC has for this detector; the usual ones if it does not answer.
    failure
        Why nothing can be committed; None if the IOC answers.
    """

    options: CommitOptions
    calib: "CalibrationData"
    assumed: AssumedErrors = DEFAULT_ERRORS
    failure: NotConnectedError | None = None

    def commit(self, request: Commit) -> bool:
        """Commit a geometry, and print which revision is active and whether it applies.

        Parameters
        ----------
        request
            The commit; its position is replaced by the one that is chosen.

        Returns
        -------
        bool
            False if the options ask to wait and the geometry does not apply in time.

        Raises
        ------
        RefusedError
            The IOC did not accept it, or the question for the position was not answered.
        NotConnectedError
            The IOC does not answer.
        """
        self.require()
        ask = terminal.ask if terminal.is_interactive() else None
        position = choose_position(self.options.position, self.calib.read_links, ask)
        return self.send(replace(request, position=position))

    def require(self) -> None:
        """Check that the IOC answers; raises `NotConnectedError`."""
        if self.failure is not None:
            raise self.failure

    def links(self) -> tuple[LinkState, ...]:
        """Return all links of the detector as they are now; raises `NotConnectedError`."""
        self.require()
        return self.calib.read_links(all_links=True)

    def send(self, request: Commit) -> bool:
        """Commit a request as it is; return and errors as `commit`."""
        self.require()
        return self._report(self.calib.transact(request))

    def _report(self, result: Result) -> bool:
        """Print what is active, and wait until it applies; return as `commit`."""
        options = self.options
        snapshot = self.calib.verified()
        _print(options, result, snapshot, position=True)
        if options.seconds is None or _may_be_used(snapshot):
            return True
        deadline = time.monotonic() + options.seconds
        while not _may_be_used(snapshot) and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD)
            snapshot = self.calib.verified()
        _print(options, result, snapshot)
        if _may_be_used(snapshot):
            return True
        text = f"timed out after {options.seconds:g} s waiting until the geometry of {options.prefix} applies"
        make_console(stderr=True).print(Text(text, style="bold red"), soft_wrap=True)
        return False


@contextmanager
def connected(options: CommitOptions, instead: str = _LATER) -> Iterator[Committer]:
    """Return a context that is connected to the IOC, which has the errors that a fit assumes.

    Parameters
    ----------
    options
        Where and how to commit.
    instead
        What a person can do if the IOC does not answer.
    """
    from ponikeeper_client.device import CalibrationData  # a fit that is not committed needs no ophyd

    calib = CalibrationData(options.prefix, name="calib")
    try:
        try:
            calib.wait_for_connection(timeout=_CONNECT_TIMEOUT)
            committer = Committer(options, calib, calib.read_snapshot().assumed)
        except (TimeoutError, NotConnectedError):
            committer = Committer(options, calib, failure=_silent(options.prefix, instead))
        yield committer
    finally:
        calib.destroy()


def _silent(prefix: str, instead: str) -> NotConnectedError:
    return NotConnectedError(
        f"{prefix}Snapshot_RBV does not answer within {_CONNECT_TIMEOUT:g} s: check the prefix, and that the IOC is "
        f"running; {instead}"
    )


def _print(options: CommitOptions, result: Result, snapshot: Snapshot | None, *, position: bool = False) -> None:
    for line in outcome_lines(options.prefix, result, snapshot, position=position):
        _console.print(Text(line), soft_wrap=True)


def _may_be_used(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and applies(snapshot.status)
