"""The configuration of an IOC with two detectors."""

import pytest

from ponikeeper.config import load

CONFIG = """
[ioc]
prefix = "XF:28ID1-CT{IOC:Calib}"
state_dir = "/var/lib/ponikeeper"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE1}Calib:"
title = "Near/far <1> & Söhne"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE2}Calib:"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(CONFIG)
    return load(path)
