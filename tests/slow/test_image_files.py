"""Images and masks from files: of one or several frames, complete, truncated and of other formats, HDF5 and NeXus."""

import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage

from ponikeeper.errors import ImageError
from ponikeeper_client._image_files.reading import files_of, read_frames, read_image, read_mask

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
    (frame,) = read_frames(write(tmp_path / name, COUNTS))
    assert frame.dtype == COUNTS.dtype
    assert (frame == COUNTS).all()
    assert (read_image(tmp_path / name) == COUNTS).all()


@pytest.mark.parametrize("name", ["a.npy", "a.edf"])
def test_mean_of_several_frames_does_not_overflow(tmp_path, name):
    result = read_image(write(tmp_path / name, COUNTS, COUNTS + 2))
    assert (result == COUNTS + 1.0).all()


def test_a_stack_of_one_frame_is_that_frame(tmp_path):
    np.save(tmp_path / "one.npy", COUNTS[None])
    (frame,) = read_frames(tmp_path / "one.npy")
    assert frame.dtype == COUNTS.dtype
    assert (frame == COUNTS).all()


def test_frames_of_several_files_are_averaged_with_one_weight_each(tmp_path):
    one = write(tmp_path / "a.edf", COUNTS, COUNTS + 3)
    other = write(tmp_path / "b.npy", COUNTS + 6)
    assert (read_image([one, other]) == COUNTS + 3.0).all()


def test_files_of_several_shapes_are_refused_by_their_names(tmp_path):
    one, other = write(tmp_path / "a.npy", COUNTS), write(tmp_path / "b.npy", COUNTS[:2])
    with pytest.raises(ImageError, match=r"a\.npy.*b\.npy: frames have the shapes \(3, 4\) and \(2, 4\)"):
        read_image([one, other])


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


@pytest.mark.parametrize("name", ["a.npy", "a.tiff", "a.edf", "a.cbf", "a.unheard", "a.h5"])
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


STACK = np.stack([COUNTS, COUNTS + 2, COUNTS + 4]).astype(np.uint32)
GAP = (1, 2)
MEAN = STACK.mean(axis=0)


def eiger_master(folder, mask=True):
    """Write a master as Dectris' file writer does: data in other files, compressed, behind external links."""
    for number, part in enumerate((STACK[:2], STACK[2:]), 1):
        with h5py.File(folder / f"run_data_{number:06d}.h5", "w") as file:
            file.create_dataset("entry/data/data", data=part, chunks=(1, 3, 4), **hdf5plugin.Bitshuffle())
    with h5py.File(folder / "run_master.h5", "w") as file:
        data = file.create_group("entry/data")
        data.attrs["NX_class"] = "NXdata"
        for number in (2, 1):
            data[f"data_{number:06d}"] = h5py.ExternalLink(f"run_data_{number:06d}.h5", "entry/data/data")
        if mask:
            hidden = np.zeros((3, 4), np.uint32)
            hidden[GAP] = 1
            file["entry/instrument/detector/detectorSpecific/pixel_mask"] = hidden
    return folder / "run_master.h5"


def nexus(path, signal="counts", default=True):
    """Write a NeXus file in which the images are not where Eiger has them."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("scan_7")
        entry.attrs["NX_class"] = "NXentry"
        plotted = entry.create_group("powder")
        plotted.attrs["NX_class"] = "NXdata"
        plotted.attrs["signal"] = signal
        plotted[signal] = STACK
        entry["before/raw"] = STACK + 1000
        if default:
            file.attrs["default"] = "scan_7"
            entry.attrs["default"] = "powder"
    return path


def test_an_eiger_master_is_read_with_the_files_it_refers_to_and_its_mask(tmp_path):
    master = eiger_master(tmp_path)
    result = read_image(master)
    assert np.isnan(result[GAP])
    result[GAP] = MEAN[GAP]
    assert (result == MEAN).all()
    assert [path.name for path in files_of([master])] == [
        "run_master.h5", "run_data_000001.h5", "run_data_000002.h5",
    ]  # fmt: skip


def test_an_eiger_master_without_one_of_its_files_is_refused(tmp_path):
    master = eiger_master(tmp_path)
    (tmp_path / "run_data_000002.h5").unlink()
    with pytest.raises(ImageError, match=r"run_data_000002\.h5, which is not there: keep the files together"):
        read_image(master)


def test_one_part_of_an_eiger_master_may_be_named(tmp_path):
    master = eiger_master(tmp_path, mask=False)
    assert (read_image(f"{master}::/entry/data/data_000002") == STACK[2]).all()


def test_a_virtual_dataset_is_read_and_never_filled_with_zeros(tmp_path):
    eiger_master(tmp_path)
    layout = h5py.VirtualLayout((3, 3, 4), np.uint32)
    for number, rows in ((1, slice(0, 2)), (2, slice(2, 3))):
        layout[rows] = h5py.VirtualSource(f"run_data_{number:06d}.h5", "entry/data/data", (len(STACK[rows]), 3, 4))
    with h5py.File(tmp_path / "all.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    assert (read_image(tmp_path / "all.nxs") == MEAN).all()
    assert len(files_of([tmp_path / "all.nxs"])) == 3
    (tmp_path / "run_data_000001.h5").unlink()
    with pytest.raises(ImageError, match=r"run_data_000001\.h5, of which it is made, is not there"):
        read_image(tmp_path / "all.nxs")


@pytest.mark.parametrize("name", ["", "::/", "::/scan_7", "::/scan_7/powder", "::scan_7/powder/counts"])
def test_the_default_of_a_nexus_file_is_read(tmp_path, name):
    assert (read_image(f"{nexus(tmp_path / 'scan.nxs')}{name}") == MEAN).all()


def test_a_dataset_of_four_dimensions_and_one_of_two_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["four"], file["two"] = STACK.reshape(1, 3, 3, 4), COUNTS
    assert (read_image(f"{tmp_path / 'a.h5'}::/four") == MEAN).all()
    assert (read_image(f"{tmp_path / 'a.h5'}::two") == COUNTS).all()


def test_any_suffix_is_read_as_hdf5_where_a_dataset_is_named(tmp_path):
    with h5py.File(tmp_path / "a.dat", "w") as file:
        file["x"] = COUNTS
    assert (read_image(f"{tmp_path / 'a.dat'}::x") == COUNTS).all()


def test_the_only_images_of_a_file_are_found(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["some/where"], file["some/number"], file["some/pixel_mask"] = STACK, 3.0, COUNTS * 0
    assert (read_image(tmp_path / "a.h5") == MEAN).all()


def test_several_possible_images_are_listed(tmp_path):
    with pytest.raises(ImageError, match="2 datasets that may be the images") as error:
        read_image(nexus(tmp_path / "scan.nxs", default=False))
    for name in ("scan.nxs::/scan_7/powder/counts (3, 3, 4)", "scan.nxs::/scan_7/before/raw", "name one, FILE::/path"):
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "has no nowhere: expected the path of a dataset; at its root are /line, /none, /text"),
        ("line", r"has the shape \(7,\) and the type float64: expected images"),
        ("text", "expected images"),
        ("none", r"has the shape \(0, 3, 4\): not one frame is there"),
    ],
)
def test_a_dataset_that_is_not_images_is_refused(tmp_path, name, said):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["line"], file["text"], file["none"] = np.zeros(7), "hello", np.zeros((0, 3, 4))
    with pytest.raises(ImageError, match=said):
        read_image(f"{tmp_path / 'a.h5'}::{name}")


def test_rows_that_are_not_written_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (3, 3, 4), np.uint16, chunks=(1, 3, 4))[:2] = 7
    with pytest.raises(ImageError, match="row 2 of /x is not written"):
        read_image(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["none.h5", "none.nxs::/entry/data"])
def test_a_missing_hdf5_file_is_named(tmp_path, name):
    with pytest.raises(ImageError, match=r"none\.\w+ cannot be read"):
        read_image(tmp_path / name)


def test_a_mask_in_a_file_with_several_frames_masks_what_any_frame_masks(tmp_path):
    stored = np.zeros((2, 3, 4), np.uint8)
    stored[0, 0, 0], stored[1, 2, 3] = 255, 1
    np.save(tmp_path / "m.npy", stored)
    assert (read_mask(tmp_path / "m.npy") == (stored != 0).any(0)).all()
