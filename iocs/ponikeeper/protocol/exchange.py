"""One request and its result: what to do next, decided without I/O and without a clock.

The result of a request is found in ``Results_RBV`` by the request's id. While there is none, the
request is put again: the IOC runs one id only once. Each transport (aioca, pyepics, ophyd-async)
does what `Exchange.step` returns, and reports what came of it.
"""

from dataclasses import dataclass

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.protocol.result import Result, parse_results
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class Put:
    """Put the request, which may take until an instant (s); report `sent`, `put_failed` or `not_connected`."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read ``Results_RBV``, which may take until an instant (s); report `read`, or nothing if that failed."""

    until: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until an instant (s)."""

    until: float


Step = Put | Read | Wait | Result
"""What to do next; a `Result` is the end."""


class Exchange:
    """The exchange of one request for its result.

    Instants are seconds of any clock that never goes back, the same one in all calls.

    Parameters
    ----------
    request
        The id of the request.
    request_pv, results_pv
        Names of the PVs, for messages.
    now
        The instant of the beginning.
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

        Raises
        ------
        RefusedError
            With the IOC's reasons, or because the access rules forbid the put.
        NotConnectedError
            The PV was never there, or no result came in time.
        """
        if self._result is not None:
            if self._result.outcome == "refused":
                raise RefusedError(self._result.errors)
            return self._result
        if self._error is not None:
            raise self._error
        if now >= self._deadline:
            raise NotConnectedError(
                f"{self._results_pv} shows no verdict within {self._timeout:g} s: whether the transaction was stored "
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
        """Report that the request was put: acknowledged, or not acknowledged in time."""
        self._sent = True
        self._look_until, self._wait_until = now + self._answer_timeout, now

    def put_failed(self, message: str, now: float) -> None:
        """Report that a put ended with an error of Channel Access.

        Parameters
        ----------
        message
            The error in the words of libca.
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
        """Report that this client may not write the PV."""
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
        """
        if not self._sent:
            self._error = NotConnectedError(message)
        self._wait_until = now + self._pause

    def read(self, text: str, now: float) -> None:
        """Report the text of ``Results_RBV``; raises `MessageError` where it cannot be read."""
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
