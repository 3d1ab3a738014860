"""The request that commits a model: its position, and what is refused before it is sent."""

from dataclasses import replace

import pytest

import travels
from ponikeeper.errors import FitError
from ponikeeper.geometry.kinematics import Model
from ponikeeper.protocol import LinkState, parse_request, request_text
from ponikeeper_client.model.commit import agreed_position, commit_of
from ponikeeper_client.model.history_fit import Knowledge, fit_history
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.selection import Selected

RAIL = travels.Travel((travels.RAIL,))
MOTION = Motion(("z",), (), None)


def link(name, **values):
    given = {"units": "mm", "tolerance": 0.05, "value": None, "calibrated": None, "moving": False, "connected": True}
    kind = values.pop("kind", "motor")
    return LinkState(name, f"{name}.RBV", kind, **(given | values))


Z, Y = link("z"), link("y")
BINNING = link("binning", kind="equal", units="", tolerance=None)
ENERGY = link("energy", kind="energy", units="keV", tolerance=1e-4)


def members(**others):
    """Return three calibrations on the rail; `others` has the values of another link at each, with its units."""
    revisions = []
    for number, place in enumerate(travels.along(200, 600, 1000), 1):
        revision = RAIL.revision(number, place)
        more = {
            name: {"value": float(values[number - 1]), "units": units}
            for name, (units, *values) in others.items()
            if values[number - 1] is not None
        }
        revisions.append(travels.made(number, revision.geometry, {**revision.position, **more}))
    return [Selected(revision, f"revision {revision.number}") for revision in revisions]


def made(**others):
    history = travels.history_of([member.revision for member in members(**others)])
    return fit_history(history, "all", MOTION, Knowledge())


@pytest.mark.parametrize(
    ("links", "others", "position"),
    [
        ([Z], {}, {}),
        ([Z, BINNING], {"binning": ("", 2, 2, 2)}, {"binning": 2.0}),
        ([Z, Y], {"y": ("mm", 7.0, 7.04, 7.08)}, {"y": 7.04}),
        ([Z, Y], {"y": ("um", 7000.0, 7010.0, 7040.0)}, {"y": 7.01}),
        ([Z, ENERGY], {"energy": ("keV", 70.0, 70.003, 70.001)}, {"energy": 70.001}),
        ([Z, replace(Y, out_of_service="out of service")], {"y": ("mm", 1.0, 2.0, None)}, {}),
        ([Z], {"y": ("mm", 1.0, 2.0, 3.0)}, {}),
    ],
)
def test_position_of_other_links_is_that_of_all_calibrations(links, others, position):
    assert agreed_position(members(**others), links, {"z"}) == pytest.approx(position, abs=1e-12)


@pytest.mark.parametrize(
    ("link", "others", "problem"),
    [
        (
            BINNING,
            ("", 2, 2, 4),
            r"binning \(binning.RBV\) is no joint .* differ in it: 2 in revision 1",
        ),
        (Y, ("mm", 7.0, 7.0, 7.06), r"y \(y.RBV\) is no joint .* 7 mm in revision 1, .* 7.06 mm in revision 3; choose"),
        (
            Y,
            ("mm", 7.0, None, None),
            r"revision 2, revision 3 has no position of y \(y.RBV\): choose",
        ),
        (Y, ("deg", 7.0, 7.0, 7.0), r"revision 1, revision 2, revision 3 has no position of y"),
        (ENERGY, ("keV", 70.0, 70.0, 70.1), r"energy .* 70.1 keV in revision 3"),
    ],
)
def test_calibrations_that_do_not_agree_in_another_link_are_refused(link, others, problem):
    with pytest.raises(FitError, match=problem):
        agreed_position(members(**{link.name: others}), [Z, link], {"z"})


def test_request_has_the_model_and_where_it_holds():
    fit = made(binning=("", 2, 2, 2))
    sent = commit_of(fit.fitted, fit.members, [Z, BINNING], "travel")
    received = parse_request(request_text(replace(sent, request="1")))
    assert (received.geometry, received.label, received.position) == ({}, "travel", {"z": 600.0, "binning": 2.0})
    assert Model.parse(received.model) == fit.fitted.model
    assert received.provenance["method"] == "model"
    assert received.provenance["comment"].startswith("revision 1, revision 2, revision 3: without a covariance")


def test_joint_that_is_no_link_in_service_is_refused():
    fit = made()
    for links in ([], [BINNING], [replace(Z, out_of_service="out of service")]):
        with pytest.raises(FitError, match="z is no link in service of this detector"):
            commit_of(fit.fitted, fit.members, links)


def test_rejected_model_is_not_committed():
    fit = made()
    with pytest.raises(FitError, match="revision 2 contradicts the others"):
        commit_of(replace(fit.fitted, problems=("revision 2 contradicts the others",)), fit.members, [Z])
