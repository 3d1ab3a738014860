"""Cost of a put of one value: each value is checked once, and each row is written and verified once."""

import sys
from collections import Counter
from functools import wraps

import pytest

from keeper_bench import BY, NEAR, run
from ponikeeper.geometry import geometry
from ponikeeper.history import records
from ponikeeper.protocol import Commit
from ponikeeper.text import strictjson

EDIT = Commit({"dist": 0.4}, {"method": "manual"}, edit=True)
"""The request of a put to ``Dist``."""


@pytest.fixture
def calls(monkeypatch):
    """Count the calls of the three functions in which the work of a commit is done, wherever they are imported."""
    counts = Counter()
    for function in (geometry._value_problems, strictjson.canonical, records.checksum):

        @wraps(function)
        def counted(*arguments, function=function):
            counts[function.__name__] += 1
            return function(*arguments)

        for name, module in list(sys.modules.items()):
            if name.startswith("ponikeeper.") and vars(module).get(function.__name__) is function:
                monkeypatch.setattr(module, function.__name__, counted)
    return counts


def count(calls, path, request):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        calls.clear()
        result = await bench.keeper.execute(request, BY)
        return result.outcome, bench.revision, dict(calls)

    return run(path, work)


def test_put_of_one_value_checks_one_geometry_and_one_checksum_per_row(path, calls):
    # canonical JSON: one to check detector_config, three columns of the revision's row;
    # checksums: one of the revision's row, one of the activation's. One is not enough: they are two records, each of
    # which is read, exported and verified without the other one. Most activations are of a revision that was
    # committed long before, and a revision has many activations. So each row has a checksum of its own columns, and
    # one over both would need another format of the store and of the history file.
    assert count(calls, path, EDIT) == ("accepted", 2, {"_value_problems": 1, "canonical": 4, "checksum": 2})


def test_put_of_the_value_that_is_there_writes_nothing(path, calls):
    unchanged = Commit({"dist": 0.3}, {"method": "manual"}, edit=True)
    assert count(calls, path, unchanged) == ("accepted", 1, {"_value_problems": 1, "canonical": 3})


def test_put_of_a_value_that_is_refused_checks_it_once(path, calls):
    refused = Commit({"dist": -1.0}, {"method": "manual"}, edit=True)
    assert count(calls, path, refused) == ("refused", 1, {"_value_problems": 1, "canonical": 1})
