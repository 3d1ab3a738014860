"""The catalogs in which runs are kept: Tiled and databroker."""

import contextlib
import functools
import json
import subprocess
import warnings
from unittest import mock


class Catalogs:
    """A folder of a Tiled server, and a databroker, into which the same documents go."""

    def __init__(self, folder, broker):
        from bluesky_tiled_plugins import TiledWriter

        self.tiled, self.broker = folder, broker
        self._write = TiledWriter(folder)

    def insert(self, documents):
        """Insert the documents of a run, and return its uid."""
        for kind, document in documents:
            self._write(kind, json.loads(json.dumps(document)))
            self.broker.insert(kind, json.loads(json.dumps(document)))
        return documents[0][1]["uid"]

    def insert_into_tiled(self, documents):
        """Insert the documents of a run as they are."""
        for kind, document in documents:
            self._write(kind, document)

    def runs(self, uid):
        """Return a run in each form in which a catalog has it, by name."""
        return {
            "Tiled": self.tiled[uid],
            "databroker 2": self.broker.v2[uid],
            "databroker 1": self.broker[uid],
        }

    def runs_with_and_without_plugins(self, uid):
        """Return what `runs` returns, and the runs as a Tiled client alone sees them."""
        from tiled.client.container import Container

        runs = self.runs(uid)
        second = runs["databroker 2"]
        alone = Container(context=second.context, item=second.item, structure_clients=second.structure_clients)
        return {**runs, "Tiled without a plugin": runs["Tiled"].base, "databroker 2 without a plugin": alone}


def _init_here(command, **_):
    """Make the tables of a catalog as ``tiled catalog init`` does."""
    from tiled.commandline._catalog import init

    with warnings.catch_warnings(action="ignore"):  # of alembic
        init(command[-1], if_not_exists=True)
    return subprocess.CompletedProcess(command, 0, b"", b"")


@contextlib.contextmanager
def tables_made_here():
    """Make the tables of Tiled servers in this process: the one that they would start loads all of Tiled."""
    with mock.patch("subprocess.run", _init_here):
        yield


@functools.cache
def _keep_dependencies():
    """Derive what an endpoint of a Tiled server needs once: FastAPI does it for each request, in half of its time."""
    from fastapi.dependencies import utils

    derive, derived = utils.get_dependant, {}

    def get_dependant(**options):
        key = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in options.items())
        if key not in derived:
            derived[key] = derive(**options)
        return derived[key]

    utils.get_dependant = get_dependant


def tiled_server(folder, **options):
    """Start a Tiled server."""
    from tiled.server import SimpleTiledServer

    _keep_dependencies()
    with tables_made_here():
        return SimpleTiledServer(directory=folder, **options)


@contextlib.contextmanager
def serving(folder):
    """Serve a Tiled catalog for the duration of the block; yield the server, a client, and a databroker."""
    from databroker import Broker
    from tiled.client import from_uri

    server = tiled_server(folder)
    client = from_uri(server.uri)
    try:
        yield server, client, Broker.named("temp")
    finally:
        client.context.close()
        server.close()
