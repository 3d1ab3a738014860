"""What is done for clients in one turn of the loop is shared among them."""

import asyncio

from ponikeeper.ca.server.stream import Turn


def test_clients_that_wait_get_equal_shares_and_a_new_one_is_not_behind_them():
    turn, served = Turn(), []

    def client(number, cost):
        def work():
            share = turn.share()
            spent = min(share, cost)
            turn.spend(spent)
            served.append((number, spent))
            turn.wait(work)

        return work

    async def run():
        for number in range(100):
            turn.wait(client(number, 1000))
        await asyncio.sleep(0)
        first = list(served)
        assert 90 < len(first) <= 100
        assert len({spent for _, spent in first}) == 1
        served.clear()
        assert turn.share() >= 1  # of one that has not waited
        await asyncio.sleep(0)
        return first, list(served)

    first, second = asyncio.run(run())
    assert second[0][0] == (first[-1][0] + 1) % 100  # who got nothing is the first


def test_one_client_alone_gets_the_whole_slice():
    async def run():
        return Turn().share()

    assert asyncio.run(run()) == 256


def test_error_in_the_work_for_one_client_does_not_keep_the_others_waiting():
    turn, served, lost = Turn(), [], []

    def fail():
        raise ValueError("a defect")

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context["exception"]))
        turn.wait(fail)
        turn.wait(lambda: served.append("other"))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert served == ["other"]
    assert [str(error) for error in lost] == ["a defect"]
