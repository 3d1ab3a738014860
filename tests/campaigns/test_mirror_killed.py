"""The mirror is killed at random moments, and so is Tiled, on SQLite and on PostgreSQL: no loss, no doubles."""

import contextlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiled.client import from_uri

import postgres
from live import free_ports, wait_for
from ponikeeper_client.recall import best_known, read_history
from ponikeeper_client.recall._mirror import find_mirror, read_mirror
from recalling import configured, history, judge, revision, snapshot, taken
from stores import store_history

pytestmark = pytest.mark.campaign

KEY = "secret0123456789"
ROUNDS = 6
REVISIONS = 3000


class Tiled:
    """`tiled serve catalog` in a process of its own, on one database."""

    def __init__(self, database, folder):
        (self._port,) = free_ports(1)
        self.address, self._log = f"http://127.0.0.1:{self._port}", folder / "tiled.log"
        self._command = [
            str(Path(sys.executable).parent / "tiled"), "serve", "catalog", database, "--init", "--api-key", KEY,
            "--port", str(self._port), "--write", str(folder),
        ]  # fmt: skip
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(self._answers, timeout=180, what="the answer of Tiled")

    def _answers(self):
        try:
            from_uri(self.address, api_key=KEY).context.close()
        except Exception:  # noqa: BLE001  # it is not up yet
            return False
        return True

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def tiled(request, tmp_path, monkeypatch):
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with contextlib.ExitStack() as stack:
        if request.param == "PostgreSQL":
            database = stack.enter_context(postgres.serving())
        else:
            database = f"sqlite:///{tmp_path}/catalog.db"
        server = Tiled(database, tmp_path)
        stack.callback(server.kill)
        server.start()
        yield server


def mirroring(ioc, tiled, *options):
    command = (sys.executable, "-m", "ponikeeper", "mirror", *options, str(ioc.config), tiled.address)
    environment = {**os.environ, "TILED_API_KEY": KEY, "TILED_RETRY_ATTEMPTS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_copies_that_are_killed_at_any_moment_are_continued(make_ioc, tiled):
    draw = random.Random(20)
    ioc = make_ioc()
    first, second = ioc.prefixes
    corrected = [judge(1, 1, by=2)]
    for prefix in ioc.prefixes:
        store_history(ioc.store, history(REVISIONS, corrected, prefix=prefix))
    ioc.start()
    for number in range(ROUNDS):
        copying = mirroring(ioc, tiled, *(("--every", "1") if number % 2 else ()))
        threading.Event().wait(draw.uniform(1.0, 12.0))  # the moment of the kill is what is drawn
        if number % 3 == 2:
            tiled.kill()
            tiled.start()
        copying.kill()
        copying.wait()
    assert mirroring(ioc, tiled).wait(timeout=300) == 0
    client = from_uri(tiled.address, api_key=KEY)
    try:
        assert len(read_mirror(find_mirror(client))) == 2
        for prefix in (first, second):
            whole = history(REVISIONS, corrected, prefix=prefix)
            assert read_history(prefix, mirror=client).by_kind() == whole.by_kind()
        recorded = snapshot(revision(1, prefix=first), prefix=first)
        (known,) = best_known(taken([("primary", configured(recorded), [1.0])]), history=client)
        assert known.uid == revision(2, prefix=first).uid
    finally:
        client.context.close()
