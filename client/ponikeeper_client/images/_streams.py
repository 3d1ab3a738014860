"""Read images from files that StreamResource and StreamDatum documents describe: HDF5 and series of TIFF files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from ponikeeper.errors import ImageError, MissingExtraError
from ponikeeper_client._image_files.hdf5 import open_file, require_written
from ponikeeper_client.images._frames import Frames, as_frames, described_image_shape, require_shape

Document = Mapping[str, Any]

HDF5 = "application/x-hdf5"
TIFF = "multipart/related;type=image/tiff"


def assets(
    documents: Mapping[str, Sequence[Document]],
    descriptors: Mapping[str, Document],
    data_key: str,
    root_map: Mapping[str, str],
) -> Iterator["Hdf5Asset | TiffAsset"]:
    """Yield an asset for each StreamDatum of a stream that belongs to the data key.

    Parameters
    ----------
    documents
        The documents of one run, by kind.
    descriptors
        The descriptors of the stream, by uid.
    data_key
        The key of the images.
    root_map
        The folder on this host, by the recorded folder.

    Yields
    ------
    Hdf5Asset or TiffAsset
        In the order of the StreamDatum documents.

    Raises
    ------
    ImageError
        The files are not local, or of an unsupported type.
    """
    resources = {resource["uid"]: resource for resource in documents.get("stream_resource", ())}
    for datum in documents.get("stream_datum", ()):
        resource = resources.get(datum["stream_resource"])
        if datum["descriptor"] not in descriptors or resource is None or resource["data_key"] != data_key:
            continue
        described = descriptors[datum["descriptor"]]["data_keys"][data_key]
        indices = range(datum["indices"]["start"], datum["indices"]["stop"])
        path = _path(resource["uri"], root_map)
        parameters, shape = resource["parameters"], tuple(described["shape"])
        per_index = int(parameters.get("multiplier") or (shape[0] if len(shape) == 3 and shape[0] else 1))
        image = described_image_shape(described)
        if resource["mimetype"] == HDF5:
            yield Hdf5Asset(path, parameters["dataset"], indices, per_index, image)
        elif resource["mimetype"] == TIFF:
            yield TiffAsset(_names(path, parameters, indices, per_index), len(indices) * per_index, image)
        else:
            raise ImageError(
                f"files of the type {resource['mimetype']} are not read here: expected {HDF5} or {TIFF}; give the "
                "images with images= or db="
            )


class Hdf5Asset:
    """The frames of a range of indices of an HDF5 dataset.

    Parameters
    ----------
    per_index
        Number of frames per index.
    image
        Expected shape (y, x), if it is known.
    """

    def __init__(self, path: Path, dataset: str, indices: range, per_index: int, image: tuple[int, int] | None) -> None:
        self.files: Sequence[Path] = [path]
        self._path, self._dataset, self._indices, self._image = path, dataset, indices, image
        self._per_index = per_index

    def load(self) -> Frames:
        """Read the frames; raise `ValueError` if the dataset does not have all of them yet."""
        with open_file(self._path, "catalog") as file:
            dataset = file[self._dataset]
            if dataset.ndim not in (3, 4):
                raise ImageError(
                    f"{self._dataset} of {self._path} has the shape {dataset.shape}: expected (n, y, x) or (n, m, y, x)"
                )
            rows = 1 if dataset.ndim == 4 else self._per_index
            start, stop = self._indices.start * rows, self._indices.stop * rows
            if len(dataset) < stop:
                raise ValueError(f"{self._dataset} has {len(dataset)} of {stop} rows")
            require_written(dataset, start, stop, self._path)
            frames: Frames = dataset[start:stop]
        frames = frames.reshape(-1, *frames.shape[-2:])
        require_shape(frames, len(self._indices) * self._per_index, self._image)
        return frames


class TiffAsset:
    """The frames of some files of a series of TIFF files.

    Parameters
    ----------
    count
        Number of frames in all the files together.
    image
        Expected shape (y, x), if it is known.
    """

    def __init__(self, files: Sequence[Path], count: int, image: tuple[int, int] | None) -> None:
        self.files, self._count, self._image = files, count, image

    def load(self) -> Frames:
        """Read the frames; raise an error of the reader if a file is missing or incomplete."""
        try:
            import tifffile
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "tifffile") from error
        images: list[Frames] = []
        for file in self.files:
            with tifffile.TiffFile(file) as tiff:
                images.append(as_frames(tiff.asarray(), str(file)))
        frames = np.concatenate(images)
        require_shape(frames, self._count, self._image)
        return frames


def _path(uri: str, root_map: Mapping[str, str]) -> Path:
    """Return the path of a local URI, under the root on this host."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ImageError(f"{uri} is no local file: give the images with images= or db=")
    path = Path(unquote(parts.path))
    for recorded, here in sorted(root_map.items(), key=lambda item: len(item[0]), reverse=True):
        if path.is_relative_to(recorded):
            return here / path.relative_to(recorded)
    return path


def _names(folder: Path, parameters: Document, indices: range, per_index: int) -> list[Path]:
    """Return the files of some indices of a series; each index has one or more files."""
    frames_per_file = int((parameters.get("chunk_shape") or (1,))[0])
    files_per_index = max(per_index // frames_per_file, 1)
    template, filename = parameters["template"], parameters.get("filename", "")
    numbers = range(indices.start * files_per_index, indices.stop * files_per_index)
    if "{" in template:
        return [folder / template.format(number) for number in numbers]
    # areaDetector's own template: the first text is the folder, the last the file's name
    texts = ["", filename][-template.count("%s") :] if "%s" in template else []
    return [folder / (template % (*texts, number)) for number in numbers]
