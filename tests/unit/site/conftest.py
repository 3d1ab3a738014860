"""The configuration of an IOC with two detectors."""

import pytest

from configurations import TWO_DETECTORS
from ponikeeper.config import load


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(TWO_DETECTORS)
    return load(path)
