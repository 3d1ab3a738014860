"""An open history in a folder of its own."""

import pytest

from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / NAME


@pytest.fixture
def storage(path):
    opened = SQLiteStorage(path)
    yield opened
    opened.close()
