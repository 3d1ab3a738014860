"""A clock that jumps misdates only what is recorded meanwhile; the order is that of the serials."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.history import history_file
from ponikeeper.history.activations import active_during
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.protocol import Retract
from ponikeeper.store.backup import copy
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from ponikeeper.text.timestamps import from_datetime, to_datetime
from strategies import VALUES
from wire import new_request

PREFIX = "XF:1{Det:1}Calib:"
BEGIN = datetime(2026, 11, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(path, errors):
    """Commit once each hour of the true time, by a clock that is wrong by these amounts; return what is stored."""
    shown = iter([BEGIN + number * HOUR + error for number, error in enumerate(errors)])
    clock = [BEGIN]

    async def work():
        storage = SQLiteStorage(path)
        store = StoreThread(storage)
        try:
            keeper = Keeper(PREFIX, store, {}, LinkStates([], 0.0), now=lambda: clock[0])
            await keeper.load()
            results = []
            for number, clock[0] in enumerate(shown):
                results.append(await keeper.execute(new_request({**VALUES, "dist": 0.2 + number * 0.01}), "alice"))
            activations = await store.read(lambda each: each.records(PREFIX, "activation", 1, len(errors)))
            revisions = await store.read(lambda each: each.revisions(PREFIX, 1, len(errors)))
            return results, activations, revisions
        finally:
            await asyncio.to_thread(store.close)

    return asyncio.run(work())


@pytest.mark.parametrize(
    "jump", [timedelta(seconds=2), HOUR, timedelta(days=400), timedelta(days=30000)], ids=lambda jump: f"{jump}"
)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_jump_there_and_back_misdates_only_the_records_between(quick_path, jump, sign, wrong):
    errors = [timedelta()] * 4 + [sign * jump] * wrong + [timedelta()] * 5
    results, activations, revisions = record(quick_path / "s.sqlite", errors)
    clock = [from_datetime(BEGIN + number * HOUR + error) for number, error in enumerate(errors)]
    assert [result.time for result in results] == clock
    assert [each.time for each in activations] == clock
    assert [each.created for each in revisions] == clock
    assert (
        [each.serial for each in activations] == [result.serial for result in results] == [*range(1, len(errors) + 1)]
    )
    right = [number for number, error in enumerate(errors) if not error]
    for number in (each for each in right if each + 1 in right or each == len(errors) - 1):
        instant = BEGIN + number * HOUR + HOUR / 2
        (period,) = active_during(activations, instant, instant, BEGIN + len(errors) * HOUR)
        assert period.activation.serial == number + 1


@pytest.mark.parametrize("jump", [timedelta(days=40), timedelta(days=-40)])
def test_history_with_a_jump_is_exported_imported_and_verified(quick_path, jump):
    errors = [timedelta(), timedelta(), jump, jump, timedelta(), timedelta()]
    _, activations, revisions = record(quick_path / "s.sqlite", errors)
    history = ExportedHistory.of(PREFIX, from_datetime(BEGIN), {"revision": revisions, "activation": activations})
    assert history_file.read(history_file.write(history)) == history
    other = SQLiteStorage(quick_path / "other.sqlite")
    other.append(PREFIX, [*revisions, *activations], from_datetime(BEGIN), "import")
    assert (other.stored_state(PREFIX).serial, other.records(PREFIX, "activation", 1, 6)) == (6, activations)
    other.close()
    for name in ("s", "other"):
        copied = copy(quick_path / f"{name}.sqlite", quick_path / f"{name}-copy.sqlite")  # verifies all of it
        assert copied.counts[PREFIX]["activation"] == len(errors)


STEPS = st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_every_record_has_the_time_of_the_clock_whatever_the_steps(tmp_path_factory, steps):
    errors = [timedelta(seconds=sum(steps[: number + 1])) for number in range(len(steps))]
    _, activations, _ = record(tmp_path_factory.mktemp("clock") / "s.sqlite", errors)
    assert [to_datetime(each.time) for each in activations] == [
        BEGIN + number * HOUR + error for number, error in enumerate(errors)
    ]


def test_correction_while_the_newest_record_lies_ahead_has_the_time_of_the_clock(quick_path):
    async def work():
        store = StoreThread(SQLiteStorage(quick_path / "s.sqlite"))
        clock = [BEGIN + 10 * HOUR]
        try:
            keeper = Keeper(PREFIX, store, {}, LinkStates([], 0.0), now=lambda: clock[0])
            await keeper.load()
            await keeper.execute(new_request(dict(VALUES)), "alice")
            clock[0] = BEGIN
            await keeper.execute(Retract(1, "wrong"), "alice")
            return keeper.state.corrections[-1].time
        finally:
            await asyncio.to_thread(store.close)

    assert asyncio.run(work()) == from_datetime(BEGIN)
