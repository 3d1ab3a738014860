"""Where the images of a run come from: one way to ask, whoever has them."""

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import ArrayLike

from ponikeeper.errors import ImageError
from ponikeeper_client.images.catalog import CatalogImages
from ponikeeper_client.images.collector import Collector
from ponikeeper_client.images.frames import Frames, as_frames
from ponikeeper_client.images.waiting import TIMEOUT


class ImageSource(Protocol):
    """Whoever has the images of a run."""

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Give the frames of one run, shape (n, y, x); None where it has no such stream."""
        ...


class UserImages:
    """The user's own way to the images of a run.

    Parameters
    ----------
    images
        Takes a run's uid and a data key; gives an array of shape (y, x) or (n, y, x). Dark frames
        are its own business: it is asked for the stream ``primary`` alone.
    """

    def __init__(self, images: Callable[[str, str], ArrayLike]) -> None:
        self._images = images

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Give what the user's function gives, shape (n, y, x); None for any stream but ``primary``.

        Raises
        ------
        ImageError
            The function failed, or gave something else than images.
        """
        if stream != "primary":
            return None
        try:
            given = self._images(run_uid, data_key)
        except Exception as error:
            raise ImageError(f"images({run_uid!r}, {data_key!r}) failed: {type(error).__name__}: {error}") from error
        return as_frames(given, f"what images({run_uid!r}, {data_key!r}) gave")


def image_source(
    collector: Collector,
    images: Callable[[str, str], ArrayLike] | None = None,
    db: Any = None,
    timeout: float = TIMEOUT,
) -> ImageSource:
    """Choose where images come from: the user's function, the session's catalog, else the run's own documents.

    Parameters
    ----------
    collector
        Listens to the run.
    images
        As for `UserImages`.
    db
        As for `CatalogImages`.
    timeout
        How long to wait for a run to appear in the catalog (s).

    Raises
    ------
    ImageError
        Both a function and a catalog are given.
    """
    if images is not None and db is not None:
        raise ImageError("images= and db= are both given: give the one that has the images")
    if images is not None:
        return UserImages(images)
    return collector if db is None else CatalogImages(db, timeout)
