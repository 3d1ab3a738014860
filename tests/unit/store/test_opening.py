"""The storage of the IOC is opened in one place, and locked."""

from contextlib import closing

import pytest

from ponikeeper.errors import BusyStoreError
from ponikeeper.store.opening import open_storage
from stores import NAME


def test_opened_storage_has_its_path_and_is_locked_until_it_is_closed(tmp_path):
    path = tmp_path / "new" / NAME
    with closing(open_storage(path)) as storage:
        assert storage.path == path
        with pytest.raises(BusyStoreError):
            open_storage(path)
    open_storage(path).close()
