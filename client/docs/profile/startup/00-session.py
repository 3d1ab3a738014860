"""RunEngine, catalog and the stream of documents, as nslsii.configure_base makes them."""

import os

from bluesky import RunEngine
from bluesky.callbacks.zmq import Publisher
from bluesky.plan_stubs import mv
from bluesky.plans import count
from bluesky_tiled_plugins import TiledWriter
from tiled.client import from_uri

RE = RunEngine({"beamline_id": "28-ID-1"})
RE.subscribe(TiledWriter(from_uri(os.environ["TILED_URI"])))
RE.subscribe(Publisher(os.environ["DOCUMENTS_TO"]))  # to bluesky-0MQ-proxy
