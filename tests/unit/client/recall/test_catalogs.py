"""Which runs of a catalog are searched, by the times of their start and stop documents."""

import pytest

from ponikeeper_client.recall._catalogs import EVER, Period, each_run

DAY = 86400.0


class Node(dict):
    """A folder, or a run, of a catalog that cannot be asked."""

    structure_family = "container"

    def __init__(self, metadata=(), **children):
        super().__init__(children)
        self.metadata = dict(metadata)


def run(began, ended=None):
    stop = {} if ended is None else {"stop": {"time": ended}}
    return {"start": {"time": began, "uid": f"{began}"}, **stop}


@pytest.mark.parametrize(
    ("period", "metadata", "expected"),
    [
        (EVER, run(0.0), True),
        (Period(since=10.0), run(10.0), True),
        (Period(since=10.0), run(9.0, 20.0), False),
        (Period(until=10.0), run(10.0), False),
        (Period(until=10.0), run(9.0, 20.0), True),
        (Period(created=10 * DAY), run(0.0, 8.9 * DAY), False),
        (Period(created=10 * DAY), run(0.0, 9.1 * DAY), True),  # the clocks differ
        (Period(created=10 * DAY), run(0.0), True),  # has no end yet
        (Period(created=100 * DAY), run(69 * DAY), False),  # the crash of long ago
        (Period(since=10.0, until=20.0), {"start": {"time": None}}, True),  # is read, and reported as unreadable
        (Period(since=10.0, until=20.0), {"start": {}, "stop": None}, True),
    ],
)
def test_period_has_runs_that_can_have_the_revision(period, metadata, expected):
    assert period.has(metadata) is expected


def test_catalog_is_asked_for_the_earliest_time_that_matters():
    assert Period(since=5.0, created=31 * DAY).begin == DAY
    assert Period(since=2 * DAY, created=31 * DAY).begin == 2 * DAY
    assert Period(until=3.0).begin is None


def test_folders_of_any_catalog_are_searched_for_runs_of_the_period():
    catalog = Node(a=Node(run(1.0)), b=Node(c=Node(run(2.0)), d=Node(run(3.0))), e=Node(run(4.0)))
    assert [each.metadata["start"]["time"] for each in each_run(catalog)] == [1.0, 2.0, 3.0, 4.0]
    assert [each.metadata["start"]["time"] for each in each_run(catalog, Period(2.0, 4.0))] == [2.0, 3.0]
