"""Read the images of one run, by its uid and a data key: from its documents, a catalog or the user.

A `Collector` receives the documents of the run and reads the files that they describe; `CatalogImages`
and `UserImages` replace it where a session has a catalog, or a function of its own. All three return raw
frames of exactly the requested run.
"""

from ponikeeper_client.images._collector import Collector
from ponikeeper_client.images._events import frames_of, images_of
from ponikeeper_client.images._frames import Frames, as_frames, image_key
from ponikeeper_client.images._sources import CatalogImages, ImageSource, UserImages, image_source

__all__ = [
    "CatalogImages",
    "Collector",
    "Frames",
    "ImageSource",
    "UserImages",
    "as_frames",
    "frames_of",
    "image_key",
    "image_source",
    "images_of",
]
