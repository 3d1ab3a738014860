"""What a server would find in a store, read without a change."""

import os
import sqlite3
from contextlib import closing

import pytest

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.store import schema
from ponikeeper.store.outlook import outlook
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, digest, small_store, store_of_0_1


def test_store_that_does_not_exist_begins_with_the_first_start(tmp_path):
    path = tmp_path / "new" / NAME
    found = outlook(path)
    assert (found.served, found.histories) == (False, [])
    assert found.text == "does not exist yet: it begins with the first start"
    assert not path.parent.exists()


def test_store_is_read_whether_it_is_served_or_not_and_not_changed(tmp_path):
    path = small_store(tmp_path / NAME)
    before = digest(path)
    assert outlook(path).text == "can be used"
    storage = SQLiteStorage(path)
    found = outlook(path)
    storage.close()
    assert (found.text, found.served) == ("is served now", True)
    assert [(history.prefix, history.revisions) for history in found.histories] == [(each, 4) for each in PREFIXES]
    assert digest(path) == before
    assert not outlook(path).served


def test_older_store_would_be_migrated_and_a_newer_one_refused(tmp_path):
    path = store_of_0_1(tmp_path / NAME)
    before = digest(path)
    newest = len(schema.MIGRATIONS)
    found = outlook(path)
    assert found.text.startswith(f"has schema version 2, the start migrates it to {newest}, which no older ponikeeper")
    assert found.histories
    assert digest(path) == before
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {newest + 1}")
    with pytest.raises(StoreError, match=f"has schema version {newest + 1}, this ponikeeper reads up to {newest}"):
        outlook(path)


def test_damage_is_reported(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"no store")
    with pytest.raises(DamagedStoreError, match="it has 8 bytes"):
        outlook(path)
    path.rename(schema.journal_of(path))
    with pytest.raises(DamagedStoreError, match="is gone, but its journal"):
        outlook(path)


def test_unfinished_write_is_left_to_the_server(tmp_path):
    path = small_store(tmp_path / NAME)
    schema.journal_of(path).write_bytes(b"x")
    found = outlook(path)
    assert (found.text, found.histories) == ("has an unfinished write, which the next start undoes", None)


@pytest.mark.parametrize("mode", [0o000, 0o100])
def test_store_that_this_user_may_not_read_is_no_error(tmp_path, mode):
    """Under systemd its folder belongs to a user that exists only while the unit runs."""
    folder = tmp_path / "private"
    path = small_store(folder / NAME)
    path.chmod(0o600)
    folder.chmod(mode)
    user = os.geteuid()
    try:
        if user == 0:
            tmp_path.chmod(0o755)
            os.seteuid(65534)
        found = outlook(path)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    assert (found.text, found.histories) == ("may not be read by this user: check it as root", None)
