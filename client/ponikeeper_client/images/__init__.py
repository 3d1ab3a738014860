"""The images of one run, by its uid and a data key: from its own documents, a catalog or the user.

A `Collector` listens to the run and reads the files that its documents tell of; `CatalogImages` and
`UserImages` stand in for it where a session has a catalog, or its own way. All three give raw frames,
of exactly the run that is asked for.
"""

from ponikeeper_client.images._collector import Collector
from ponikeeper_client.images._frames import Frames, as_frames, image_key, mean_image
from ponikeeper_client.images._sources import CatalogImages, ImageSource, UserImages, image_source

__all__ = [
    "CatalogImages",
    "Collector",
    "Frames",
    "ImageSource",
    "UserImages",
    "as_frames",
    "image_key",
    "image_source",
    "mean_image",
]
