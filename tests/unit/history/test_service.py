"""Which links are out of service after a number of service changes."""

from ponikeeper.history import ServiceChange
from ponikeeper.history.service import describe_service, links_out_of_service

TIME = "2026-11-22T09:30:00.250000Z"


def changes(*steps):
    return [ServiceChange(n, kind, link, "why", TIME, "bob") for n, (kind, link) in enumerate(steps, 1)]


def test_last_change_of_each_link_decides():
    out, back = "out_of_service", "in_service"
    assert links_out_of_service([]) == {}
    history = changes((out, "z"), (out, "energy"), (back, "z"), (out, "y"), (out, "energy"))
    assert links_out_of_service(history) == {"energy": history[4], "y": history[3]}
    assert links_out_of_service([*history, *changes((back, "energy"), (back, "y"))]) == {}


def test_text_has_time_author_and_reason():
    (change,) = changes(("out_of_service", "z"))
    assert describe_service(change) == "out of service since 2026-11-22T09:30:00Z by bob: why"
