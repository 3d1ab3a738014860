"""A bluesky session of the demonstration: a RunEngine whose documents go into a Tiled server of its own."""

from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky.plans import count
from bluesky_tiled_plugins import TiledWriter
from numpy.typing import NDArray
from tiled.client import from_uri
from tiled.server import SimpleTiledServer

from ponikeeper.geometry import Geometry
from ponikeeper_client import documents
from ponikeeper_client.images import CatalogImages


class Session:
    """Takes runs, and reads them back.

    Parameters
    ----------
    folder
        For Tiled's SQLite files and arrays.
    """

    def __init__(self, folder: Path) -> None:
        self._server = SimpleTiledServer(directory=folder)
        self.catalog: Any = from_uri(self._server.uri)
        self._run_engine = RunEngine()
        self._run_engine.subscribe(TiledWriter(self.catalog))

    def count(self, detector: Any) -> str:
        """Record one image; return the uid of the run."""
        uids: Any = self._run_engine(count([detector]))
        return str(uids[0])

    def descriptor(self, uid: str) -> dict[str, Any]:
        """Return the descriptor of a run, as Tiled has it."""
        return dict(self.catalog[uid]["primary"].descriptors[0])

    def configuration(self, uid: str, detector: str) -> dict[str, Any]:
        """Return the recorded configuration of a detector."""
        return dict(self.descriptor(uid)["configuration"][detector]["data"])

    def geometry(self, uid: str) -> Geometry:
        """Return the geometry with which a run was taken."""
        return documents.geometry(self.descriptor(uid))

    def image(self, uid: str, key: str) -> NDArray[Any]:
        """Return the first image of a run, shape (y, x)."""
        frames = CatalogImages(self.catalog).read(uid, key)
        assert frames is not None, "the run has a stream primary"
        return frames[0]

    def close(self) -> None:
        """Close the connection and stop the server."""
        self.catalog.context.close()
        self._server.close()
