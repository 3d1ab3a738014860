"""The puts of a client that belong together: what another detector leaves, and which refused one is named."""

from ponikeeper.detector.recent_puts import PERIOD, RecentPuts, SetpointPut, advice


def after(*puts):
    recent = RecentPuts()
    for at, client, name, value, *reason in puts:
        recent = recent.after(SetpointPut(client, name, value, reason[0] if reason else None, at))
    return recent


def test_pixels_and_configuration_of_the_same_client_survive_for_a_while():
    recent = after(
        (0, "a", "pixel1", 1e-4), (1, "a", "dist", 0.3), (2, "b", "pixel2", 2e-4), (3, "a", "detector_config", {"x": 1})
    )  # fmt: skip
    assert recent.brought("a", 3) == {"pixel1": 1e-4, "detector_config": {"x": 1}}
    assert recent.brought("b", 3) == {"pixel2": 2e-4}
    assert recent.brought("a", PERIOD + 1) == {"detector_config": {"x": 1}}
    assert recent.brought("c", 3) == {}


def test_only_the_last_value_counts_and_a_refused_one_does_not():
    recent = after((0, "a", "pixel1", 1e-4), (1, "a", "pixel1", 2e-4), (2, "a", "pixel2", None, "too large"))
    assert recent.brought("a", 3) == {"pixel1": 2e-4}
    assert after((0, "a", "pixel1", 1e-4), (1, "a", "pixel1", None, "too large")).brought("a", 1) == {}


def test_old_puts_are_forgotten():
    recent = after(*((number, f"client {number}", "pixel1", 1e-4) for number in range(1000)))
    assert len(recent.puts) <= PERIOD + 1


def test_refused_put_is_named_if_others_of_the_same_client_were_accepted_before_or_after():
    refused, dist = (0, "a", "rot1", None, "it is 90"), (1, "a", "dist", 0.3)
    assert after(refused).unfinished == {}
    assert after(refused, (1, "b", "dist", 0.3)).unfinished == {}
    assert (
        after(refused, dist).unfinished == after((0, *dist[1:]), (1, *refused[1:])).unfinished == {"rot1": "it is 90"}
    )
    assert after(refused, (PERIOD, *dist[1:])).unfinished == {}
    many = after(refused, dist, (2, "a", "rot2", None, "it is 91"))
    assert many.unfinished == {"rot1": "it is 90", "rot2": "it is 91"}
    assert "rot1 (it is 90); rot2 (it is 91)" in advice(many.unfinished)


def test_refused_put_is_named_until_it_is_put_again_by_anybody():
    recent = after((0, "a", "rot1", None, "it is 90"), (1, "a", "dist", 0.3), (100, "a", "rot2", 0.1))
    assert recent.unfinished == {"rot1": "it is 90"}
    finished = recent.after(SetpointPut("b", "rot1", 1.57, None, 101))
    assert (finished.unfinished, advice(finished.unfinished)) == ({}, "")
    assert finished.after(SetpointPut("a", "dist", 0.4, None, 102)).unfinished == {}
    assert recent.without_unfinished().unfinished == {}
