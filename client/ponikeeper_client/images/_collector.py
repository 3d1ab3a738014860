"""A callback that stores the documents of a run, and reads the images of the run afterwards."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from event_model import unpack_datum_page, unpack_event_page

from ponikeeper.errors import ImageError
from ponikeeper_client.images import _datums, _streams
from ponikeeper_client.images._frames import Frames, as_frames
from ponikeeper_client.images._waiting import TIMEOUT, Asset, load_when_whole

Document = Mapping[str, Any]

_PAGES: Mapping[str, tuple[str, Callable[[Any], Iterator[Any]]]] = {
    "event_page": ("event", unpack_event_page),
    "datum_page": ("datum", unpack_datum_page),
}
_REFERRED_TO = ("start", "descriptor", "resource", "stream_resource")
_LINKS = ("run_start", "descriptor", "resource")


@dataclass
class RunDocuments:
    """The documents of one run, by kind, in the order in which they were received."""

    documents: dict[str, list[Document]] = field(default_factory=dict)

    def of(self, kind: str) -> list[Document]:
        """Return the documents of a kind."""
        return self.documents.get(kind, [])

    def descriptors(self, stream: str) -> dict[str, Document]:
        """Return the descriptors of a stream by uid."""
        return {document["uid"]: document for document in self.of("descriptor") if document.get("name") == stream}


class Collector:
    """A callback that stores the documents of runs, and reads image files only on request.

    Subscribe it for the duration of the run, and select that run with `keep`.

    Parameters
    ----------
    handlers
        Readers of external files by spec; they take precedence over the installed ones (the entry
        points ``databroker.handlers``).
    root_map
        The root on this host, by the recorded root, for files that were recorded on another host.
    timeout
        How long to wait for files that are missing or incomplete when they are read (s).
    """

    def __init__(
        self,
        *,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
        root_map: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._handlers, self._root_map, self._timeout = dict(handlers or {}), dict(root_map or {}), timeout
        self._owners: dict[str, RunDocuments] = {}
        self._only: str | None = None

    def __call__(self, name: str, document: Document) -> None:
        """Store a document; those of other runs are ignored."""
        if name in _PAGES:
            name, unpacked = _PAGES[name]
            for each in unpacked(document):
                self._store(name, each)
        else:
            self._store(name, document)

    def keep(self, run_uid: str) -> None:
        """Store only this run from now on.

        Parameters
        ----------
        run_uid
            Uid of the run.
        """
        run = self._owners.get(run_uid)
        self._only = run_uid
        self._owners = {uid: owner for uid, owner in self._owners.items() if owner is run}

    def descriptor(self, run_uid: str, stream: str = "primary") -> Document | None:
        """Return the first descriptor of a stream.

        Parameters
        ----------
        run_uid
            Uid of the run.
        stream
            Name of the stream.

        Returns
        -------
        Mapping or None
            The document; None where the run has no such stream.

        Raises
        ------
        ImageError
            The start document of the run was not received: the collector was not yet subscribed.
        """
        return next(iter(self._run(run_uid).descriptors(stream).values()), None)

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Read the frames of one run, from its events and files.

        Parameters
        ----------
        run_uid
            Uid of the run, which must be closed.
        data_key
            The key of the images.
        stream
            Name of the stream; ``"dark"`` for the dark frames of bluesky-darkframes.

        Returns
        -------
        Frames or None
            Shape (n, y, x), in the order of the events; None where the run has no such stream.

        Raises
        ------
        ImageError
            The run or the key is not known, a file did not appear or was not complete in time (the
            message names it), or it does not contain an image.
        """
        run, what = self._run(run_uid), f"the images of {data_key} in the stream {stream} of run {run_uid}"
        descriptors = run.descriptors(stream)
        if not descriptors:
            return None
        keys = set().union(*(descriptor["data_keys"] for descriptor in descriptors.values()))
        if data_key not in keys:
            raise ImageError(f"{what} were not recorded: the stream has the keys {', '.join(sorted(keys))}")
        assets: Sequence[Asset] = [
            *_datums.assets(run.documents, descriptors, data_key, self._handlers, self._root_map),
            *_streams.assets(run.documents, descriptors, data_key, self._root_map),
        ]
        pieces = load_when_whole(assets, what, self._timeout)
        pieces += [as_frames(value, what) for value in _embedded(run, descriptors, data_key)]
        if not pieces:
            raise ImageError(f"{what} were not taken: the run has not one event with it")
        shapes = sorted({piece.shape[1:] for piece in pieces})
        if len(shapes) > 1:
            raise ImageError(f"{what} have several shapes, {shapes}: expected one")
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _run(self, run_uid: str) -> RunDocuments:
        run = self._owners.get(run_uid)
        if run is None or run.of("start")[0]["uid"] != run_uid:
            raise ImageError(f"run {run_uid} is not known here: it did not begin while the collector listened")
        return run

    def _store(self, name: str, document: Document) -> None:
        if name == "start":
            owner = RunDocuments() if self._only in (None, document["uid"]) else None
        else:
            link = next((document[key] for key in _LINKS if key in document), None)
            owner = None if link is None else self._owners.get(link)
        if owner is None:
            return
        owner.documents.setdefault(name, []).append(_own(name, document))
        if name in _REFERRED_TO:
            self._owners[document["uid"]] = owner


def _own(name: str, document: Document) -> Document:
    """Copy a document, but not the arrays of an event: other callbacks change documents in place."""
    if name == "event":
        return {**document, "data": dict(document["data"]), "filled": dict(document.get("filled") or {})}
    return copy.deepcopy(document)


def _embedded(run: RunDocuments, descriptors: Mapping[str, Document], data_key: str) -> Iterator[Any]:
    """Yield the images that are in the events themselves, not in files."""
    for event in run.of("event"):
        descriptor = descriptors.get(event["descriptor"])
        if descriptor and data_key in event["data"] and not _datums.is_external(event, descriptor, data_key):
            yield event["data"][data_key]
