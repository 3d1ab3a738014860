"""What the operations refuse is raised: nothing is stored and nothing is published. Real store, time injected."""

import pytest

from keeper_bench import BY, NEAR, run
from ponikeeper.errors import RefusedError
from ponikeeper.protocol import (
    Activate,
    Commit,
    InService,
    Label,
    OutOfService,
    RecordPosition,
    Retract,
    Supersede,
    Undo,
)

REFUSED = [
    (Commit({"dist": -1.0}, {"method": "manual"}, edit=True), "dist"),
    (RecordPosition(), "the position of the links is unknown: z"),
    (Activate(9), "there is no revision 9: the history has revisions 1 to 2"),
    (Activate(2), "revision 2 was retracted: beam stop; activate one that is right"),
    (Undo(expect_serial=1), "expect_serial 1 is outdated: activation 2 is the newest one"),
    (Commit({"dist": 0.3}, expect_serial=1), "expect_serial 1 is outdated: activation 2 is the newest one"),
    (Undo(), "the links have moved since|nothing was active before"),
    (Label("7"), 'label "7" is not allowed'),
    (Label("near", 9), "there is no revision 9"),
    (Supersede(1, 2, "why"), "revision 2 was retracted"),
    (Retract(9, "why"), "there is no revision 9"),
    (OutOfService("y", "why"), 'there is no link "y"'),
    (InService("z"), "link z is in service"),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSED, ids=[f"{item[0].op}-{n}" for n, item in enumerate(REFUSED)])
def test_refused_request_is_raised_and_changes_nothing(path, request_, reason):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        await bench.commit(0.31)
        await bench.keeper.execute(Retract(2, "beam stop"), BY)
        if isinstance(request_, RecordPosition):
            await bench.rest_at(None)
        if request_ == Undo():
            await bench.keeper.execute(Undo(), BY)
        before, published = await bench.keeper._store.load(), len(bench.published)
        with pytest.raises(RefusedError, match=reason):
            await bench.keeper._operations.execute(request_, BY)
        assert (await bench.keeper._store.load(), len(bench.published)) == (before, published)
        return "unchanged"

    assert run(path, work) == "unchanged"
