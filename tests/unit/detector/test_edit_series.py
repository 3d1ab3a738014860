"""Puts to setpoints one after another: what they bring to another detector, and when one is named as missing."""

from keeper_bench import BY, NEAR, run
from ponikeeper.protocol import Activate, Commit

OTHER = "bob@there"


def edit(**values):
    return Commit(values, {"method": "manual"}, edit=True)


async def put(bench, by=BY, **values):
    result = await bench.keeper.execute(edit(**values), by)
    if result.outcome == "refused":
        bench.keeper.note_refused(next(iter(values)), by, result.errors[0])
    return result.outcome


async def begin(bench):
    await bench.rest_at(NEAR)
    await bench.commit(0.3)


def test_pixels_survive_only_of_the_same_client_and_for_ten_seconds(path):
    async def work(bench):
        await begin(bench)
        await put(bench, pixel1=4e-4)
        await put(bench, OTHER, pixel2=4e-4)
        await put(bench, detector="Pilatus1M")
        first = bench.keeper.state.revision.geometry
        bench.now += 10
        await put(bench, detector="Perkin")
        return (first.pixel1, first.pixel2), bench.keeper.state.revision.geometry.pixel1

    assert run(path, work) == ((4e-4, 1.72e-4), 2e-4)


def test_detector_that_is_not_in_the_table_has_the_pixels_of_its_newest_revision(path):
    async def work(bench):
        await begin(bench)
        assert await put(bench, detector="Our own") == "refused"
        for pixel in (5e-5, 6e-5):
            await bench.keeper.execute(Commit({"detector": "Our own", "pixel1": pixel, "pixel2": 7e-5}), BY)
        await put(bench, detector="Perkin")
        assert await put(bench, detector="Our own") == "accepted"
        return bench.keeper.state.revision.geometry.pixel1

    assert run(path, work) == 6e-5


def test_refused_put_is_in_the_advice_while_the_revision_that_lacks_it_is_active(path):
    async def work(bench):
        await begin(bench)
        advices = []
        for values in ({"dist": 0.31}, {"rot1": 90.0}, {"rot2": 0.02}, {"rot1": 0.02}, {"rot2": 91.0}):
            await put(bench, **values)
            advices.append("incomplete" in bench.keeper.state.advice)
        await bench.keeper.execute(Activate(1), BY)
        advices.append("incomplete" in bench.keeper.state.advice)
        await put(bench, dist=0.5)
        return [*advices, "incomplete" in bench.keeper.state.advice]

    assert run(path, work) == [False, True, True, False, True, False, False]
