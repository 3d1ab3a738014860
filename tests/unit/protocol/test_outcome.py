"""What is said after a request: the active revision, whether it may be used, the next command."""

import json
import shlex
from dataclasses import replace

import pytest

from ponikeeper.protocol import LinkState, Result, Snapshot, Status, applies
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.outcome import active_lines, next_step, outcome_json, outcome_lines

P = "XF:28ID1-ES{Det:PE1}Calib:"
ACTIVE = replace(
    Snapshot.from_json(EXAMPLES["snapshot"]),
    prefix=P, revision=4, serial=9, label="near", status="VALID", reason="", findings=(), link_states=(),
)  # fmt: skip
RESULT = Result("id", "commit", "accepted", 4, 9, (), "2026-11-22T09:30:00.250000Z")
Z = LinkState("z", "Z.RBV", "motor", "mm", 0.05, 250.0, 200.0, moving=False, connected=True, within=False)
ENERGY = LinkState(
    "energy", "Mono", "energy", "keV", 1e-4, 71.0, None, moving=False, connected=True, within=False, mismatch=0.02
)


def state(status, link=None, **changes):
    """Return a snapshot with a status, which is about a link or about the revision itself."""
    links = () if link is None else (link,)
    findings = ((status, "" if link is None else link.name),)
    return replace(ACTIVE, status=status, reason="the reason", findings=findings, link_states=links, **changes)


@pytest.mark.parametrize("status", Status)
def test_each_status_says_whether_the_geometry_may_be_used_and_what_to_type_if_not(status):
    first, *rest = outcome_lines(P, RESULT, state(status.name))
    verdict = "and may be used" if applies(status) else "but does not apply"
    assert first == f"{P} revision 4 is active (serial 9) {verdict}: {status.name}, the reason"
    assert len(rest) == (not applies(status))
    assert all(line.startswith("next: ") and "ponikeeper " in line and shlex.quote(P) in line for line in rest)


@pytest.mark.parametrize(
    ("snapshot", "step"),
    [
        (
            state("UNKNOWN", position=None),
            f"move the links to where revision 4 was calibrated, then type: ponikeeper record-position '{P}'",
        ),
        (
            state("UNKNOWN", replace(Z, calibrated=None, within=None)),
            f"move the links to where revision 4 was calibrated, then type: ponikeeper record-position '{P}'",
        ),
        (
            state("UNKNOWN", replace(Z, value=None, connected=False)),
            f"check Z.RBV, then type: ponikeeper status '{P}' --wait VALID",
        ),
        (
            state("MOVED", Z),
            "activate the revision of this position, calibrate, or move Z.RBV to 200 mm, then type: ponikeeper status "
            f"'{P}' --wait VALID",
        ),
        (
            state("OUT_OF_RANGE", Z),
            "move the links into the range of the model, or calibrate here, then type: ponikeeper status "
            f"'{P}' --wait VALID",
        ),
        (state("MOVED", replace(Z, value=200.01)), f"wait: ponikeeper status '{P}' --wait VALID"),
        (state("MOVING", replace(Z, moving=True)), f"wait: ponikeeper status '{P}' --wait VALID"),
        (
            state("MISMATCH", ENERGY),
            f"correct Mono, or if it is right, type: ponikeeper set '{P}' wavelength=1.746256e-11",
        ),
        (
            state("RETRACTED"),
            f"find the right revision: ponikeeper history '{P}' --tree; then type: ponikeeper activate '{P}' NUMBER",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_next_step(snapshot, step):
    assert next_step(snapshot) == step


def test_position_is_named_where_it_was_recorded():
    assert outcome_lines(P, RESULT, ACTIVE, position=True)[1] == "position: z 1000.01 mm"
    assert len(outcome_lines(P, RESULT, replace(ACTIVE, position=None), position=True)) == 1


def test_request_that_another_one_has_overtaken_is_not_reported_as_active():
    (line,) = outcome_lines(P, RESULT, replace(ACTIVE, revision=5, serial=10))
    assert line == (
        f"{P} revision 4 became active (serial 9), but another request came after it: revision 5 is active now "
        "(serial 10) and may be used: VALID"
    )


@pytest.mark.parametrize("snapshot", [None, replace(ACTIVE, serial=8)], ids=["unread", "older"])
def test_status_that_could_not_be_read_is_not_claimed(snapshot):
    first, step = outcome_lines(P, RESULT, snapshot)
    assert first == f"{P} revision 4 is active (serial 9); its status could not be read"
    assert step == f"next: ponikeeper status '{P}'"


def test_json_has_the_result_and_the_status():
    values = outcome_json(RESULT, state("MOVED", Z))
    assert json.loads(json.dumps(values)) == values
    assert values.items() >= RESULT.as_dict().items()
    assert (values["status"], values["applies"], values["active_revision"]) == ("MOVED", False, 4)
    assert "--wait VALID" in str(values["next"])
    unread = outcome_json(RESULT, None)
    assert unread.keys() == values.keys()
    assert (unread["status"], unread["applies"], unread["next"]) == (None, None, None)


def test_request_that_activates_nothing_says_what_is_active():
    assert active_lines(P, ACTIVE) == [f"{P} revision 4 is active (serial 9) and may be used: VALID"]
    first, second = active_lines(P, state("MOVED", Z))
    assert first == f"{P} revision 4 is active (serial 9) but does not apply: MOVED, the reason"
    assert second == f"next: {next_step(state('MOVED', Z))}"
    empty = replace(ACTIVE, status="UNSET", reason="no geometry was ever committed", revision=0, serial=0)
    first, second = active_lines(P, empty)
    assert first == f"{P} is UNSET: no geometry was ever committed"
    assert second.startswith("next: commit a geometry")
    first, second = active_lines(P, None)
    assert (first, second) == (f"{P}: what is active could not be read", f"next: ponikeeper status '{P}'")


def test_position_that_no_link_can_give_is_named_as_not_recorded():
    away = replace(Z, out_of_service="out of service since 2026-11-22T09:30:00Z: repair")
    unwatched = replace(ACTIVE, status="UNWATCHED", position={}, link_states=(away,))
    assert outcome_lines(P, RESULT, unwatched, position=True)[1:] == [
        "position: not recorded, since every link is out of service"
    ]
    partly = replace(unwatched, link_states=(away, ENERGY))
    assert len(outcome_lines(P, RESULT, partly, position=True)) == 1
