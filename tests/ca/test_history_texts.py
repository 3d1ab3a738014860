"""The history as text PVs of a live IOC, for screens without scripts."""

from live import wait_for
from speak import GEOMETRY, commit_text, get, put, request, snapshot


def test_table_and_comparison_follow_what_is_selected(fresh_prefix):
    prefix = fresh_prefix()
    assert len(get(f"{prefix}History:Table_RBV").splitlines()) == 1
    assert get(f"{prefix}History:Compare_RBV") == ""
    for number, dist in enumerate((0.2, 0.3), 1):
        request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": dist}))
    wait_for(
        lambda: get(f"{prefix}History:Table_RBV").splitlines()[1:2] and "300.000" in get(f"{prefix}History:Table_RBV")
    )
    assert [row.split()[0] for row in get(f"{prefix}History:Table_RBV").splitlines()[1:]] == [">*", "1"]
    assert put(f"{prefix}History:Select", 1) is None
    assert [row.split()[0] for row in get(f"{prefix}History:Table_RBV").splitlines()[1:]] == ["*", ">"]
    assert put(f"{prefix}History:Activate", 1) is None
    assert snapshot(prefix)["geometry"]["dist"] == 0.2
    assert get(f"{prefix}History:Activate") == 0
    wait_for(lambda: get(f"{prefix}History:Table_RBV").splitlines()[2].startswith(">*"))
    assert put(f"{prefix}History:Activate", 0) is None
    assert snapshot(prefix)["serial"] == 3
    assert put(f"{prefix}Activate", "2") is None
    wait_for(lambda: "0.3" in get(f"{prefix}History:Compare_RBV"))
    (line,) = (line for line in get(f"{prefix}History:Compare_RBV").splitlines() if line.startswith("dist"))
    assert line.split() == ["dist", "0.2", "0.3", "-0.1", "m"]


def test_activate_button_without_a_selection_is_refused(fresh_prefix):
    prefix = fresh_prefix()
    request(prefix, commit_text("first"))
    assert put(f"{prefix}History:Activate", 1)
    assert get(f"{prefix}Message_RBV").startswith("refused: no revision is selected: expected its number")
    assert snapshot(prefix)["serial"] == 1
