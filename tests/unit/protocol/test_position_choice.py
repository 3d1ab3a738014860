"""The position of a geometry from a file: the options, a person's answer, or none."""

from dataclasses import replace

import pytest

from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.position_choice import choose_position, given_position

Z = LinkState("z", "Z.RBV", "motor", "mm", 0.05, 250.0, None, moving=False, connected=True)
ENERGY = LinkState("energy", "Mono", "energy", "keV", 1e-4, 71.0, None, moving=False, connected=True)


class Person:
    """Answers questions in their order, and remembers them; `links` are what the IOC says before each."""

    def __init__(self, links, *answers):
        self._links, self._answers, self.questions = list(links), list(answers), []

    def ask(self, question):
        self.questions.append(question)
        return self._answers.pop(0)

    def read_links(self):
        return self._links.pop(0) if len(self._links) > 1 else self._links[0]


def chosen(person, given=None):
    return choose_position(given, person.read_links, person.ask)


def test_options_contradict_each_other():
    assert [given_position(*pair) for pair in ((True, False), (False, True), (False, False))] == [
        "now",
        "unknown",
        None,
    ]
    with pytest.raises(ConfigError, match="--here and --no-position contradict each other"):
        given_position(True, True)


def test_answer_decides_about_the_values_that_the_question_shows():
    yes, no = Person([(Z, ENERGY)], True), Person([(Z, ENERGY)], False)
    assert (chosen(yes), chosen(no)) == ("now", "unknown")
    assert yes.questions == [
        "The links are at: z (Z.RBV) 250 mm, energy (Mono) 71 keV\nWas this geometry calibrated at this position?"
    ]


def test_options_and_scripts_are_not_asked():
    person = Person([(Z,)])
    assert (chosen(person, "now"), chosen(person, "unknown")) == ("now", "unknown")
    assert choose_position(None, person.read_links, None) == "unknown"
    assert person.questions == []


def test_nothing_is_asked_without_links():
    assert chosen(Person([()])) == "unknown"


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ((replace(Z, moving=True), ENERGY), "z (Z.RBV) is moving"),
        ((Z, replace(ENERGY, value=None, connected=False)), "energy (Mono) is not connected"),
    ],
    ids=["one moves", "disconnected"],
)
def test_position_that_cannot_be_recorded_is_said_before_the_commit(links, reason):
    person = Person([links], True)
    assert chosen(person) == "unknown"
    assert person.questions == [
        f"The position cannot be recorded now: {reason}\nCommit this geometry without a position?"
    ]
    with pytest.raises(RefusedError, match="nothing was committed: wait until the links are at rest"):
        chosen(Person([links], False))
    with pytest.raises(RefusedError) as refused:
        chosen(Person([links]), "now")
    assert str(refused.value) == (
        f"the position cannot be recorded now: {reason}: nothing was committed: wait until the links are at rest, or "
        "give --no-position"
    )
    assert chosen(Person([links]), "unknown") == "unknown"


WHY = "out of service since 2026-11-22T09:30:00Z by oper@host: controller is being repaired"
IN_REPAIR = replace(ENERGY, value=None, connected=False, out_of_service=WHY)


@pytest.mark.parametrize("idle", [IN_REPAIR, replace(ENERGY, out_of_service=WHY)], ids=["off", "still answers"])
def test_link_out_of_service_is_named_and_its_value_is_not_asked_for(idle):
    person = Person([(Z, idle)], True)
    assert chosen(person) == "now"
    (question,) = person.questions
    assert question.splitlines()[:2] == ["The links are at: z (Z.RBV) 250 mm", f"Not recorded: energy (Mono) is {WHY}"]


def test_position_cannot_be_recorded_where_no_link_is_in_service():
    person = Person([(IN_REPAIR,)], True)
    assert chosen(person) == "unknown"
    assert f"cannot be recorded now: energy (Mono) is {WHY}\n" in person.questions[0]
    assert chosen(Person([(IN_REPAIR,)]), "now") == "now"  # none is expected


def test_only_links_in_service_are_a_reason_against_recording():
    person = Person([(replace(Z, moving=True), IN_REPAIR)], True)
    assert chosen(person) == "unknown"
    assert "cannot be recorded now: z (Z.RBV) is moving\n" in person.questions[0]


@pytest.mark.parametrize(
    "later", [replace(Z, value=250.06), replace(Z, value=1000.0), replace(Z, moving=None)], ids=["near", "far", "?"]
)
def test_answer_does_not_count_for_another_position_than_the_one_shown(later):
    person = Person([(Z,), (later,)], True, later.moving is None)
    assert chosen(person) == "unknown"
    jitter = Person([(Z,), (replace(Z, value=250.04),)], True)
    assert chosen(jitter) == "now"


def test_question_is_asked_again_with_the_new_values():
    person = Person([(Z,), (replace(Z, value=1000.0),)], True, True)
    assert chosen(person) == "now"
    assert ["250 mm" in person.questions[0], "1000 mm" in person.questions[1]] == [True, True]


def test_no_answer_commits_nothing():
    with pytest.raises(RefusedError, match="nothing was committed"):
        chosen(Person([(Z,)], None))
