"""The exchange of a request for its result: a state machine without I/O and without a clock.

The result of a request is identified in ``Results_RBV`` by the request's id. Until there is one, the
request is put again: the IOC runs a request with a known id only once. Each transport (aioca, pyepics,
ophyd-async) does what `Exchange.step` returns, and reports the outcome.

>>> exchange = Exchange("my-id", "P:Request", "P:Results_RBV", now=0.0, timeout=30.0, answer_timeout=2.0, pause=0.1)
>>> exchange.step(0.0)
Put(until=2.0)
>>> exchange.sent(0.1)
>>> exchange.step(0.1)
Read(until=2.1)
"""

from dataclasses import dataclass

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.protocol.result import Result, parse_results
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class Put:
    """Put the request, at most until a time (s); report `sent`, `put_failed`, `denied` or `not_connected`."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read ``Results_RBV``, at most until a time (s); report `read`, or nothing if that failed."""

    until: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until a time (s)."""

    until: float


Step = Put | Read | Wait | Result
"""What to do next; a `Result` ends the exchange."""


class Exchange:
    """The exchange of one request for its result.

    All times are in seconds of one monotonic clock.

    Parameters
    ----------
    request
        The id of the request.
    request_pv, results_pv
        Names of the PVs, for messages.
    now
        The time at which the exchange begins (s).
    timeout
        How long to wait for the result (s).
    answer_timeout
        How long one put or read may take, and after which a request without a result is put again (s).
    pause
        How long to wait between two reads, and before a put that was lost is repeated (s).
    """

    def __init__(
        self,
        request: str,
        request_pv: str,
        results_pv: str,
        *,
        now: float,
        timeout: float,
        answer_timeout: float,
        pause: float,
    ) -> None:
        self._request, self._request_pv, self._results_pv = request, request_pv, results_pv
        self._id_text = strictjson.dumps(request)
        self._timeout, self._answer_timeout, self._pause = timeout, answer_timeout, pause
        self._deadline = now + timeout
        self._wait_until = now
        self._look_until: float | None = None  # None: the request is to be put
        self._sent = False
        self._undetermined = False
        self._rejection: str | None = None
        self._result: Result | None = None
        self._error: RefusedError | NotConnectedError | None = None

    def step(self, now: float) -> Step:
        """Return what to do next.

        Parameters
        ----------
        now
            The present time (s).

        Returns
        -------
        Put, Read, Wait or Result
            A `Result` is an accepted one, and ends the exchange.

        Raises
        ------
        RefusedError
            With the IOC's reasons, or because the access rules forbid the put.
        NotConnectedError
            The PV never connected, or no result came in time.
        """
        if self._result is not None:
            if self._result.outcome == "refused":
                raise RefusedError(self._result.errors)
            return self._result
        if self._error is not None:
            raise self._error
        if now >= self._deadline:
            raise NotConnectedError(
                f"{self._results_pv} has no result after {self._timeout:g} s: whether the transaction was stored "
                f"is not known; look at the history, or send it again with the same id, {self._request}"
            )
        if now < self._wait_until:
            return Wait(min(self._wait_until, self._deadline))
        until = min(self._deadline, now + self._answer_timeout)
        if self._look_until is None:
            return Put(until)
        if now < self._look_until:
            self._wait_until = now + self._pause  # before the read after this one
            return Read(until)
        if self._rejection is not None:
            raise RefusedError(self._rejection)
        self._look_until = None
        return Put(until)

    def sent(self, now: float) -> None:
        """Report that the request was put, whether it was acknowledged in time or not; `now` in s."""
        self._sent = True
        self._look_until, self._wait_until = now + self._answer_timeout, now

    def put_failed(self, message: str, now: float) -> None:
        """Report that a put ended with an error of Channel Access.

        Parameters
        ----------
        message
            The error text of libca.
        now
            The present time (s).
        """
        words = message.lower()
        if "disconnect" in words:  # it may have arrived
            self._sent = True
            self._look_until, self._wait_until = None, now + self._pause
        elif "access denied" in words:
            self.denied(message)
        else:
            self.sent(now)
            if "timeout" not in words and "timed out" not in words:
                self._rejection = message

    def denied(self, message: str = "") -> None:
        """Report that this client may not write the PV; `message` has the details, if there are any."""
        details = message and f" ({message})"
        self._error = RefusedError(
            f"{self._request_pv} may not be written from here: the IOC's access rules forbid it{details}"
        )

    def not_connected(self, message: str, now: float) -> None:
        """Report that the PV did not connect in time; an error unless an earlier put may have arrived.

        Parameters
        ----------
        message
            The text of that error.
        now
            The present time (s).
        """
        if not self._sent:
            self._error = NotConnectedError(message)
        self._wait_until = now + self._pause

    def read(self, text: str, now: float) -> None:
        """Report the text of ``Results_RBV``.

        Parameters
        ----------
        text
            The JSON text.
        now
            The present time (s).

        Raises
        ------
        MessageError
            The text has the id of the request, but is not a list of results.
        """
        results = parse_results(text) if self._id_text in text else []
        result = next((result for result in results if result.request == self._request), None)
        if result is None:
            if self._undetermined:  # the IOC was restarted
                self._undetermined = False
                self._look_until = now + self._answer_timeout
        elif result.outcome == "undetermined":
            self._undetermined = True
            self._look_until = self._deadline
        else:
            self._result = result
