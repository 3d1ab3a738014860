"""Images and masks from files: of one or several frames, complete, truncated and of other formats."""

import numpy as np
import pytest
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage

from ponikeeper.errors import ImageError
from ponikeeper_client._image_files import read_image, read_mask

COUNTS = np.arange(40_000, 40_012, dtype=np.uint16).reshape(3, 4)


def write(path, *frames):
    """Write frames in the format of the file name."""
    if path.suffix == ".npy":
        np.save(path, frames[0] if len(frames) == 1 else np.array(frames))
    elif path.suffix == ".edf":
        image = EdfImage(data=frames[0])
        for frame in frames[1:]:
            image.append_frame(data=frame)
        image.write(str(path))
    else:
        TifImage(data=frames[0]).write(str(path))
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.tiff", "a.tif", "a.edf"])
def test_an_image_is_read_as_it_is_stored(tmp_path, name):
    result = read_image(write(tmp_path / name, COUNTS))
    assert result.dtype == COUNTS.dtype
    assert (result == COUNTS).all()


@pytest.mark.parametrize("name", ["a.npy", "a.edf"])
def test_mean_of_several_frames_does_not_overflow(tmp_path, name):
    result = read_image(write(tmp_path / name, COUNTS, COUNTS + 2))
    assert (result == COUNTS + 1.0).all()


def test_a_stack_of_one_frame_is_that_frame(tmp_path):
    np.save(tmp_path / "one.npy", COUNTS[None])
    result = read_image(tmp_path / "one.npy")
    assert result.dtype == COUNTS.dtype
    assert (result == COUNTS).all()


@pytest.mark.parametrize("name", ["m.npy", "m.tiff", "m.edf"])
def test_a_mask_is_true_where_the_file_is_not_zero(tmp_path, name):
    stored = np.array([[0, 1, 0, 255], [0, 0, 2, 0]], np.uint8)
    result = read_mask(write(tmp_path / name, stored))
    assert result.dtype == bool
    assert (result == (stored != 0)).all()


def test_a_mask_may_be_stored_as_truth_values(tmp_path):
    np.save(tmp_path / "m.npy", COUNTS > 40_003)
    assert (read_mask(tmp_path / "m.npy") == (COUNTS > 40_003)).all()


@pytest.mark.parametrize("shape", [(), (4,), (1, 1, 3, 4), (0, 3, 4)])
def test_an_array_that_is_not_an_image_is_refused_with_its_shape(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(ImageError, match=r"expected \(y, x\)") as error:
        read_image(tmp_path / "a.npy")
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("name", ["none.npy", "none.tiff", "none.edf"])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_missing_file_is_named(tmp_path, name, read):
    with pytest.raises(ImageError, match="No such file") as error:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize("name", ["folder.npy", "folder.tiff"])
def test_a_folder_is_refused_as_an_image(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "a.tiff", "a.edf", "a.cbf", "a.unheard"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", bytes(range(256)) * 8])
def test_foreign_bytes_are_refused_by_their_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
@pytest.mark.parametrize(
    "name",
    [
        "a.npy",
        "a.tiff",
        pytest.param("a.edf", marks=pytest.mark.xfail(strict=True, reason="fabio fills a cut EDF with zeros")),
    ],
)
def test_a_truncated_file_is_refused(tmp_path, name, keep):
    whole = write(tmp_path / name, np.arange(6400, dtype=np.uint16).reshape(80, 80)).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ImageError):
        read_image(tmp_path / name)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="allow_pickle"):
        read_image(tmp_path / "a.npy")


def test_an_archive_of_arrays_is_refused(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=COUNTS)
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.npy")
