"""One request and its result: what to do next after each sequence of events, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import MessageError, NotConnectedError, RefusedError
from ponikeeper.protocol import Result, results_json
from ponikeeper.protocol.exchange import Exchange, Put, Read, Wait

ID = "a\u00e9"  # escaped in JSON
TIMEOUT, ANSWER, PAUSE = 30.0, 2.0, 0.5


def result(outcome, request=ID, errors=()):
    number = 7 if outcome == "accepted" else None
    return Result(request, "commit", outcome, number, number, errors, "2026-11-22T09:30:01.250000Z")


def text(*results):
    return results_json(results)


OTHERS = text(result("accepted", "other"), result("refused", "another", ("no",)))
ACCEPTED = text(result("accepted", "other"), result("accepted"))
UNDETERMINED = text(result("undetermined", errors=("the disk does not answer",)))


@pytest.fixture
def exchange():
    return Exchange(ID, "P:Request", "P:Results_RBV", now=0.0, timeout=TIMEOUT, answer_timeout=ANSWER, pause=PAUSE)


def test_acknowledged_request_has_its_result_at_the_first_read(exchange):
    assert exchange.step(0.0) == Put(ANSWER)
    exchange.sent(0.1)
    assert exchange.step(0.1) == Read(2.1)
    exchange.read(ACCEPTED, 0.2)
    assert exchange.step(0.2) == result("accepted")
    assert exchange.step(99.0) == result("accepted")


def test_refused_request_raises_the_reasons_of_the_ioc(exchange):
    exchange.put_failed("P:Request: Channel write request failed", 0.1)
    assert exchange.step(0.1) == Read(2.1)
    exchange.read(text(result("refused", errors=("dist is wrong", "so is rot1"))), 0.2)
    with pytest.raises(RefusedError) as refused:
        exchange.step(0.2)
    assert refused.value.problems == ("dist is wrong", "so is rot1")


def test_refused_put_without_a_result_raises_the_error_of_channel_access(exchange):
    exchange.put_failed("P:Request: Channel write request failed", 0.0)
    exchange.step(0.0)
    exchange.read(OTHERS, 0.0)
    assert exchange.step(0.1) == Wait(PAUSE)
    assert exchange.step(PAUSE) == Read(2.5)
    with pytest.raises(RefusedError, match=r"^P:Request: Channel write request failed$"):
        exchange.step(ANSWER)


@pytest.mark.parametrize("message", ["", "Write access denied calling ca_array_put_callback"])
def test_denied_put_is_refused_at_once(exchange, message):
    if message:
        exchange.put_failed(message, 0.1)
    else:
        exchange.denied()
    with pytest.raises(RefusedError) as refused:
        exchange.step(0.1)
    details = message and f" ({message})"
    assert str(refused.value) == (f"P:Request may not be written from here: the IOC's access rules forbid it{details}")


def test_request_without_a_result_is_put_again(exchange):
    exchange.sent(0.0)
    assert exchange.step(0.0) == Read(ANSWER)
    exchange.read(OTHERS, 0.1)
    assert exchange.step(1.9) == Read(3.9)
    assert exchange.step(2.0) == Wait(2.4)  # the read failed
    assert exchange.step(2.4) == Put(4.4)


@pytest.mark.parametrize(
    "message", ["P:Request: User specified timeout on IO operation expired", "P:Request timed out"]
)
def test_put_that_is_not_acknowledged_in_time_may_have_arrived(exchange, message):
    exchange.put_failed(message, 2.0)
    assert exchange.step(2.0) == Read(4.0)
    exchange.read(ACCEPTED, 2.1)
    assert exchange.step(2.1) == result("accepted")


def test_put_whose_circuit_was_lost_is_repeated_after_a_pause(exchange):
    exchange.put_failed("P:Request: Virtual circuit disconnect", 1.0)
    assert exchange.step(1.0) == Wait(1.5)
    assert exchange.step(1.5) == Put(3.5)


def test_pv_that_never_connects_raises_the_message_of_the_transport(exchange):
    exchange.not_connected("P:Request does not answer within 2 s", 2.0)
    with pytest.raises(NotConnectedError, match=r"^P:Request does not answer within 2 s$"):
        exchange.step(2.0)


def test_pv_that_is_lost_after_a_put_is_waited_for_until_the_deadline(exchange):
    exchange.put_failed("Virtual circuit disconnect", 1.0)
    exchange.not_connected("P:Request does not answer within 2 s", 4.0)
    assert exchange.step(4.0) == Wait(4.5)
    assert exchange.step(4.5) == Put(6.5)
    with pytest.raises(NotConnectedError, match="stored is not known"):
        exchange.step(TIMEOUT)


def test_undetermined_result_is_waited_for_without_another_put(exchange):
    exchange.sent(0.0)
    exchange.step(0.0)
    exchange.read(UNDETERMINED, 0.0)
    assert exchange.step(0.1) == Wait(PAUSE)
    assert exchange.step(20.0) == Read(22.0)
    exchange.read(UNDETERMINED, 20.0)
    assert exchange.step(29.0) == Read(TIMEOUT)
    exchange.read(ACCEPTED, 29.5)
    assert exchange.step(29.5) == result("accepted")


def test_undetermined_result_at_the_deadline_is_not_known(exchange):
    exchange.sent(0.0)
    exchange.step(0.0)
    exchange.read(UNDETERMINED, 0.0)
    with pytest.raises(NotConnectedError) as unknown:
        exchange.step(TIMEOUT)
    assert str(unknown.value) == (
        "P:Results_RBV has no result after 30 s: whether the transaction was stored is not known; "
        f"look at the history, or send it again with the same id, {ID}"
    )


def test_undetermined_result_that_a_restart_removed_is_asked_for_again(exchange):
    exchange.sent(0.0)
    exchange.step(0.0)
    exchange.read(UNDETERMINED, 0.0)
    exchange.step(10.0)
    exchange.read(text(), 10.0)
    assert exchange.step(11.0) == Read(13.0)
    exchange.read(text(), 11.0)
    assert exchange.step(12.0) == Put(14.0)


def test_text_with_the_id_that_is_not_a_list_of_results_is_an_error(exchange):
    exchange.sent(0.0)
    with pytest.raises(MessageError, match="this is not a list of results"):
        exchange.read('{"v": 1, "rows": ["a\\u00e9"]}', 0.1)


EVENTS = st.one_of(
    st.just(("sent",)),
    st.tuples(
        st.just("put_failed"),
        st.sampled_from(
            ["Virtual circuit disconnect", "timeout", "Channel write request failed", "Write access denied"]
        ),
    ),
    st.tuples(st.just("not_connected"), st.just("P:Request does not answer")),
)
READS = st.sampled_from([OTHERS, ACCEPTED, UNDETERMINED, text(result("refused", errors=("no",))), text(), None])


@given(st.data())
def test_exchange_always_ends_in_time_with_the_outcome(data):
    exchange = Exchange(ID, "P:Request", "P:Results_RBV", now=5.0, timeout=10.0, answer_timeout=ANSWER, pause=PAUSE)
    now, put_at, lost, last = 5.0, None, False, None
    error = None
    while error is None:
        try:
            step = exchange.step(now)
        except (RefusedError, NotConnectedError) as raised:
            error = raised
            break
        if isinstance(step, Result):
            assert last == ACCEPTED
            break
        assert now < step.until <= 15.0
        if isinstance(step, Wait):
            assert step.until <= now + PAUSE
            now = step.until
            continue
        now += data.draw(st.floats(0.01, step.until - now) if step.until - now > 0.01 else st.just(0.01))
        if isinstance(step, Read):
            last = data.draw(READS)
            if last is not None:
                exchange.read(last, now)
            continue
        assert last != UNDETERMINED or lost, "a transaction that may still be running was put again"
        assert put_at is None or lost or now - put_at >= ANSWER
        name, *arguments = data.draw(EVENTS)
        put_at, lost, last = now, "disconnect" in str(arguments) or name == "not_connected", None
        getattr(exchange, name)(*arguments, now)
    assert now <= 15.0 + 0.01
    if isinstance(error, NotConnectedError) and "has no result" in str(error):
        assert now >= 15.0
