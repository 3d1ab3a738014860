"""The power is cut under puts: what was acknowledged is on the disk.

The disk is an image with a file system of its own. At the cut the IOC is stopped, and the image is copied as it is:
what the kernel had only in memory is lost.
"""

import contextlib
import filecmp
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acknowledged import Acknowledged, require_all_there, writing
from live import LiveIoc, wait_for
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME
from trouble import require_loop_devices

SIZE = 32_000_000
"""Of the disk (bytes)."""


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount an image for the duration of the block."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def copied(image: Path, path: Path) -> Path:
    """Copy an image as it was at one time; return the path of the copy.

    The kernel may still write: it ends the call in which the IOC was stopped. Parts of different times are no image
    that a power cut leaves, since the file system's journal may lack what other blocks need.
    """
    shutil.copy(image, path)
    while not filecmp.cmp(image, path, shallow=False):
        shutil.copy(image, path)
    return path


def cut(ioc: LiveIoc, image: Path, folder: Path, known: Acknowledged) -> None:
    """Cut the power, look at what is on the disk, and let the IOC continue."""
    ioc.signal(signal.SIGSTOP)
    acknowledged = known.copy()
    try:
        copy = copied(image, folder / "copy.img")
    finally:
        ioc.signal(signal.SIGCONT)
    with mounted(copy, folder / "after") as after:
        storage = SQLiteStorage(after / NAME)
        try:
            require_all_there(storage, acknowledged)
        finally:
            storage.close()


def campaign(make_ioc, folder: Path, cuts: int, seed: int) -> None:
    require_loop_devices()
    draw, known = random.Random(seed), Acknowledged()
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    ioc = make_ioc()
    with mounted(image, ioc.state_dir):
        ioc.start()
        try:
            with writing(ioc, known):
                for _ in range(cuts):
                    target = known.total() + draw.randrange(1, 40)
                    wait_for(lambda: known.total() >= target, what="the acknowledgements")  # noqa: B023
                    cut(ioc, image, folder, known)
                ioc.kill()
        finally:
            ioc.kill()
    print(f"\n{cuts} power cuts: {known.total()} acknowledged commits, 0 lost")


def test_power_cuts_lose_nothing(make_ioc, tmp_path):
    campaign(make_ioc, tmp_path, 3, seed=3)


@pytest.mark.campaign
def test_25_power_cuts_lose_nothing(make_ioc, tmp_path):
    campaign(make_ioc, tmp_path, 25, seed=4)
