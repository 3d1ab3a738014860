"""Requests: validated, stored, published, acknowledged; with a real store, without Channel Access."""

import asyncio
from dataclasses import replace

import pytest

from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.protocol import Activate
from ponikeeper.protocol.status import Status
from ponikeeper.store import verify
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from stores import GEOMETRY, commit, draft
from strategies import VALUES
from wire import new_request

PREFIX = "XF:1{Det:1}Calib:"


def run(path, work, links=None, **options):
    """Run a coroutine function with a keeper on a store; return its result and the published states."""

    async def whole():
        store = StoreThread(await asyncio.to_thread(SQLiteStorage, path))
        try:
            keeper = Keeper(PREFIX, store, {}, links or LinkStates(), **options)
            await keeper.load()
            published: list[DetectorState] = []

            def publish(state: DetectorState, _: Change) -> None:
                published.append(state)

            keeper.on_publish(publish)
            return await work(keeper, store), published
        finally:
            store.close()

    return asyncio.run(whole())


def test_commit_is_published_only_when_it_is_stored(path):
    async def work(keeper, store):
        result = await keeper.execute(new_request(dict(VALUES)), "alice@here")
        return result, await store.read(lambda storage: storage.active(PREFIX))

    (result, stored), published = run(path, work)
    (state,) = published
    assert (result.outcome, result.revision, result.serial) == ("accepted", 1, 1)
    assert (state.revision, state.activation) == stored
    assert state.status is Status.UNWATCHED
    assert state.snapshot().geometry == GEOMETRY
    (_, again) = run(path, lambda keeper, _: asyncio.sleep(0, keeper.state))
    assert again == []


def test_state_after_a_restart_is_the_one_before_it(path):
    async def work(keeper, _):
        await keeper.execute(new_request(dict(VALUES)), "alice@here")
        await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        await keeper.execute(Activate(1, request="back", digest="d"), "bob@there")
        return keeper.state.snapshot()

    before, _ = run(path, work)
    after, _ = run(path, lambda keeper, _: asyncio.sleep(0, keeper.state.snapshot()))
    assert before == after
    assert (after.revision, after.serial) == (1, 3)


def test_same_id_gets_the_first_answer_even_after_a_restart(path):
    request = new_request(dict(VALUES))
    other = replace(request, digest="another content")

    async def twice(keeper, _):
        first = await keeper.execute(request, "alice@here")
        await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        return first, await keeper.execute(request, "alice@here")

    (first, second), published = run(path, twice)
    assert first == second
    assert published[-1].activation.serial == 2
    (third, refused), _ = run(path, lambda keeper, _: both(keeper.execute(request, "a"), keeper.execute(other, "a")))
    assert third == first
    assert refused.outcome == "refused"
    assert "was used before with other content: use a new id" in refused.errors[0]


async def both(first, second):
    return await first, await second


def test_refused_request_can_be_repeated_with_its_id(path):
    async def work(keeper, _):
        request = new_request({"dist": 0.5})
        refused = await keeper.execute(request, "alice@here")
        await keeper.execute(new_request(dict(VALUES)), "alice@here")
        return refused, await keeper.execute(request, "alice@here")

    (refused, accepted), _ = run(path, work)
    assert (refused.outcome, accepted.outcome) == ("refused", "accepted")


def test_repetition_changes_nothing_and_its_late_retry_neither(path):
    same = new_request(dict(VALUES))

    async def work(keeper, _):
        await keeper.execute(new_request(dict(VALUES)), "alice@here")
        repeated = await keeper.execute(same, "alice@here")
        await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        return repeated, await keeper.execute(same, "alice@here"), keeper.state

    (repeated, late, state), _ = run(path, work)
    assert (repeated.revision, repeated.serial) == (late.revision, late.serial) == (1, 1)
    assert (state.revision.number, state.count, state.activation.serial) == (2, 2, 2)


def test_time_is_that_of_the_clock_although_the_newest_record_lies_ahead(path):
    storage = SQLiteStorage(path)
    storage.commit(PREFIX, draft(1), "2096-01-01T00:00:00.000000Z", "commit", "a")
    storage.close()
    result, _ = run(path, lambda keeper, _: keeper.execute(new_request({"dist": 0.5}), "alice@here"))
    assert result.time < "2096"


def test_store_that_cannot_be_written_refuses_and_keeps_the_geometry(path):
    async def work(keeper, store):
        await keeper.execute(new_request(dict(VALUES)), "alice@here")
        before = keeper.state.snapshot()
        path.rename(path.with_name("away"))
        refused = await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        bad = store.health
        path.with_name("away").rename(path)
        await store.probe()
        accepted = await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        return before, refused, bad, accepted, store.health

    (before, refused, bad, accepted, good), published = run(path, work)
    assert refused.outcome == "refused"
    assert refused.errors[0].startswith(f"not stored, the active geometry is unchanged: {path} was moved")
    assert published[1].snapshot() == before
    assert (bad.ok, good.ok) == (False, True)
    assert accepted.revision == 2


@pytest.mark.parametrize("stored", [True, False])
def test_outcome_of_a_failure_in_the_last_step_is_read_from_the_disk(path, monkeypatch, stored):
    real_commit, real_probe = SQLiteStorage.commit, SQLiteStorage.probe
    failures = iter([True, False])

    def failing_commit(self, *values):
        if stored:
            real_commit(self, *values)
        raise UncertainStoreError("disk I/O error")

    def failing_probe(self):
        if next(failures):
            raise StoreError("disk I/O error")
        real_probe(self)

    async def work(keeper, _):
        await keeper.execute(new_request(dict(VALUES)), "alice@here")
        monkeypatch.setattr(SQLiteStorage, "commit", failing_commit)
        monkeypatch.setattr(SQLiteStorage, "probe", failing_probe)
        return await keeper.execute(new_request({"dist": 0.5}), "alice@here")

    result, published = run(path, work)
    outcomes = [state.results[0].outcome for state in published]
    if stored:
        assert outcomes == ["accepted", "undetermined", "accepted"]
        assert published[1].snapshot() == published[0].snapshot()  # nothing is shown that could still vanish
        assert (result.revision, published[2].snapshot().geometry.dist) == (2, 0.5)
    else:
        assert outcomes == ["accepted", "refused"]
        assert published[1].snapshot() == published[0].snapshot()
    assert [entry.request for entry in published[-1].results].count(result.request) == 1
    after, _ = run(path, lambda keeper, _: asyncio.sleep(0, keeper.state.snapshot()))
    assert after == published[-1].snapshot()


def test_damage_found_while_serving_ends_all_writing(path):
    storage = SQLiteStorage(path)
    for number in range(3):
        commit(storage, PREFIX, number)
    with storage._file.transaction() as connection:
        connection.execute("UPDATE revision SET uid = 'x' WHERE number = 1")
    storage._file.close()

    async def work(keeper, store):
        with pytest.raises(StoreError):
            await store.read(lambda storage: storage.revision(PREFIX, 1))
        before = keeper.state.snapshot()
        refused = await keeper.execute(new_request({"dist": 0.5}), "alice@here")
        await store.probe()
        return before, refused, keeper.state.snapshot(), store.health

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "RECENT", 0)
        (before, refused, after, health), _ = run(path, work)
    assert refused.outcome == "refused"
    assert "the checksum of revision 1" in refused.errors[0]
    assert before == after
    assert not health.ok
    assert "the checksum of revision 1" in health.message


def test_each_activation_is_logged_once_and_not_those_of_before_the_start(path, caplog):
    caplog.set_level("INFO", "ponikeeper.detector.publisher")

    async def commits(keeper, _):
        for number in (1, 2):
            label = "near" if number == 1 else None
            await keeper.execute(replace(new_request({**VALUES, "dist": number / 5}), label=label), "alice@here")

    async def refused_and_back(keeper, _):
        await keeper.execute(Activate(9), "bob@there")
        await keeper.execute(Activate(1), "bob@there")

    run(path, commits)
    run(path, refused_and_back)
    assert [record.getMessage() for record in caplog.records] == [
        f"{PREFIX}: revision 1 (near) is active, serial 1: commit by alice@here",
        f"{PREFIX}: revision 2 is active, serial 2: commit by alice@here",
        f"{PREFIX}: revision 1 (near) is active, serial 3: activate by bob@there",
    ]
    assert all(record.not_limited for record in caplog.records)
