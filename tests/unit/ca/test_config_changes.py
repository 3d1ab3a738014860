"""What of a changed configuration counts after a restart."""

import pytest

from ponikeeper.ca.config_changes import pending_changes
from ponikeeper.config import load

BEFORE = """
[ioc]
prefix = "I:"
state_dir = "s"
[[detector]]
prefix = "A:"
[[detector]]
prefix = "B:"
title = "two"
[access]
write = ["127.0.0.1"]
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ('"127.0.0.1"', '"10.0.0.0/8"', []),
        ('"two"', '"2"\nlimits = {dist = [0.1, 3.0]}', ["detector B:: title, limits"]),
        ('state_dir = "s"', 'state_dir = "s"\nengineer = "Eve"', ["ioc: engineer"]),
        ("[access]", "[pva]\nenabled = true\n[access]", ["pva: enabled"]),
        ('"A:"', '"C:"', ["detector A: is gone", "detector C: is new"]),
    ],
)
def test_each_table_that_differs_is_named_with_its_keys(tmp_path, old, new, expected):
    configs = []
    for text in (BEFORE, BEFORE.replace(old, new, 1) if old else BEFORE):
        path = tmp_path / "28id1.toml"
        path.write_text(text)
        configs.append(load(path))
    assert pending_changes(*configs) == expected
