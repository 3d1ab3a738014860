"""An open history in a folder of its own."""

import pytest

from ponikeeper.store import History
from stores import NAME


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / NAME


@pytest.fixture
def history(path):
    opened = History(path)
    yield opened
    opened.close()
