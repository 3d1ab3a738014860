"""What is known now of every geometry that a run recorded."""

from typing import Any

from ponikeeper.errors import MissingExtraError, NoGeometryError, NotConnectedError
from ponikeeper_client.recall.histories import Histories, History, holding, read_all
from ponikeeper_client.recall.judged import as_recorded, judged
from ponikeeper_client.recall.reading import recorded
from ponikeeper_client.recall.values import BestKnown, Recorded, Told

_ADVICE = "where the IOC is gone for good, give its exported history: best_known(run, history='FILE')"


def best_known(
    run: Any,
    detector: str | None = None,
    stream: str | None = None,
    *,
    history: Histories | None = None,
    timeout: float = 5.0,
) -> Told[BestKnown]:
    """Give what is known now of every geometry that a run recorded, with what was judged since.

    A judgement counts for an event by the event's own time, which is that of its document: the end of
    its exposure. Where that splits the events of one descriptor, they come in parts.

    Parameters
    ----------
    run, detector, stream
        As for `recorded`.
    history
        Exported histories, or their files, to look in; left out, the IOC is asked, by the prefix that
        the run recorded. Of several exports of one store the one that knows most counts; it knows
        nothing of what was judged after it.
    timeout
        How long an IOC may be silent (s).

    Raises
    ------
    NoGeometryError
        As `recorded`; or the IOC, or the exports, do not have the revision that the run recorded: no
        other one of the same number is taken for it.
    NotConnectedError
        The IOC does not answer.
    HistoryError
        An export, or what the IOC answers, is not what was written.
    """
    found = recorded(run, detector, stream)
    exports = None if history is None else read_all(history)
    live: dict[str, History] = {}

    def history_of(each: Recorded) -> History:
        if exports is not None:
            return holding(exports, each)
        if each.prefix is None:
            raise NoGeometryError(
                f"{each.detector} {each.place}: the run does not say which PVs it had revision {each.revision} "
                "from: give the exported history, best_known(run, history='FILE')"
            )
        if each.prefix not in live:
            live[each.prefix] = ask_ioc(each.prefix, timeout)
        return live[each.prefix]

    known: list[BestKnown] = []
    for each in found:
        known += [as_recorded(each)] if each.revision is None else judged(each, history_of(each))
    return Told(known)


def ask_ioc(prefix: str, timeout: float) -> History:
    """Give the history of the IOC that serves a prefix.

    Raises
    ------
    NotConnectedError
        It does not answer; the message says what to do then.
    """
    try:
        from ponikeeper_client.recall.ioc import LiveHistory
    except ModuleNotFoundError as error:
        raise MissingExtraError("client", error.name or "ophyd") from error
    history = LiveHistory(prefix, timeout)
    try:
        history.corrections()
    except NotConnectedError as error:
        raise NotConnectedError(f"{error}; {_ADVICE}") from error
    return history
