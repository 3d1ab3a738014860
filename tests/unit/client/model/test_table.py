"""Tables of a model, also of one that another program made."""

from dataclasses import replace

import pytest
from rich.console import Console

import travels
from ponikeeper_client.model.history_fit import Knowledge, fit_history
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.table import joint_lines, member_table

CALIBRATED = travels.Travel((travels.RAIL,)).history(travels.along(200, 600, 1000), ("near", "mid", "far"))
MODEL = fit_history(CALIBRATED, "all", Motion(("z",), (), None), Knowledge()).fitted.model


def shown(model, wrong=()):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(member_table(model, wrong))
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines() if "│" in line]


def test_members_have_their_position_and_residuals():
    rows = shown(MODEL, {2})
    assert [row[:2] for row in rows] == [
        ["revision 1 (near)", "200"], ["revision 2 (mid), corrected since", "600"], ["revision 3 (far)", "1000"],
    ]  # fmt: skip
    assert all(float(cell) >= 0 for row in rows for cell in row[2:4])


@pytest.mark.parametrize(
    "more", [{}, {"position": {}}, {"position": 7, "residual_px": "small", "left_out_px": None}, {"name": None}]
)
def test_member_of_which_only_the_revision_is_known_is_shown(more):
    """That is all that the IOC requires of a member."""
    fit = {"members": [{"revision": 3, "uid": "a"} | more], "chi2": "low"}
    model = replace(MODEL, fit=fit)
    assert shown(model, {3}) == [["revision 3, corrected since", "-", "-", "-", "-"]]
    assert len(list(joint_lines(model))) == 1


def test_chi_squared_has_its_degrees_of_freedom():
    fit = {**MODEL.fit, "chi2": 0.04, "dof": 7}
    assert "chi squared 0.0 with 7 degrees of freedom; scatter" in list(joint_lines(replace(MODEL, fit=fit)))[-1]
