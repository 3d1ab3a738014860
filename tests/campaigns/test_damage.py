"""Flipped bytes and cut files: a store returns what was written to it, or it is refused."""

import collections
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ponikeeper.errors import StoreError
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, contents, contents_of, small_store, verdict_of

SEED = 20261122
PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    """Write a small store and return its bytes."""
    return small_store(tmp_path_factory.mktemp("sound") / NAME).read_bytes()


@pytest.fixture(scope="module")
def truth(tmp_path_factory, sound) -> dict[str, object]:
    """Read everything in a store."""
    path = tmp_path_factory.mktemp("truth") / NAME
    path.write_bytes(sound)
    return contents(path)


@pytest.fixture
def place(quick_folder) -> Iterator[Path]:
    """Return a folder for thousands of damaged stores: only their contents matter, not the disk."""
    with tempfile.TemporaryDirectory(dir=quick_folder) as folder:
        yield Path(folder)


def flip_each(path: Path, sound: bytes, truth: dict[str, object], flips: list[tuple[int, int]]) -> None:
    verdicts: collections.Counter[str] = collections.Counter()
    wrong = []
    for position, pattern in flips:
        damaged = bytearray(sound)
        damaged[position] ^= pattern
        path.write_bytes(damaged)
        verdict = verdict_of(path, truth)
        verdicts[verdict[:9]] += 1
        if verdict not in ("sound", "refused"):
            wrong.append((position, pattern, verdict[:300]))
        for leftover in path.parent.iterdir():
            leftover.unlink()
    print(f"{len(flips)} flips in {len(sound)} bytes: {dict(verdicts)}")
    assert not wrong, wrong[:5]
    assert verdicts["refused"] > 0, "no flip was ever noticed: the test tests nothing"


def test_no_flipped_byte_in_a_sample_of_the_first_page_falsifies_anything(place, sound, truth):
    draw = random.Random(SEED)
    positions = range(draw.randrange(31), PAGE, 31)
    flip_each(place / NAME, sound, truth, [(position, draw.randrange(1, 256)) for position in positions])


@pytest.mark.campaign
def test_no_flipped_byte_in_the_first_page_falsifies_anything(place, sound, truth):
    draw = random.Random(SEED)
    flip_each(place / NAME, sound, truth, [(position, draw.randrange(1, 256)) for position in range(PAGE)])


def test_no_flipped_bit_in_a_sample_of_the_header_falsifies_anything(place, sound, truth):
    flips = [(position, 1 << bit) for position in range(100) for bit in range(8)]
    flip_each(place / NAME, sound, truth, flips[random.Random(SEED).randrange(5) :: 5])


@pytest.mark.campaign
def test_no_flipped_bit_in_the_header_falsifies_anything(place, sound, truth):
    flip_each(place / NAME, sound, truth, [(position, 1 << bit) for position in range(100) for bit in range(8)])


def test_no_flipped_byte_in_a_sample_falsifies_anything(place, sound, truth):
    draw = random.Random(SEED)
    positions = range(PAGE + draw.randrange(509), len(sound), 509)
    flip_each(place / NAME, sound, truth, [(position, draw.randrange(1, 256)) for position in positions])


@pytest.mark.campaign
@pytest.mark.parametrize("pattern", [0xFF, 0x01, 0x02, 0x10, 0x80])
def test_no_flipped_byte_anywhere_falsifies_anything(place, sound, truth, pattern):
    flip_each(place / NAME, sound, truth, [(position, pattern) for position in range(len(sound))])


def flip_each_while_open(path: Path, sound: bytes, truth: dict[str, object], flips: list[tuple[int, int]]) -> None:
    """Flip bytes of a file that is open and in memory; one pass of the verification follows each."""
    verdicts: collections.Counter[str] = collections.Counter()
    for position, pattern in flips:
        path.write_bytes(sound)
        storage = SQLiteStorage(path)
        try:
            assert contents_of(storage) == truth
            with path.open("r+b") as file:
                file.seek(position)
                file.write(bytes([sound[position] ^ pattern]))
            try:
                assert contents_of(storage) == truth, position
                verdict = "sound"
            except StoreError:
                verdict = "found"
        finally:
            storage.close()
        if verdict == "sound" and verdict_of(path, truth) == "refused":
            verdict = "found by the next start"
        verdicts[verdict] += 1
    print(f"{len(flips)} flips while it is open: {dict(verdicts)}")
    assert verdicts["found"] > verdicts["found by the next start"]


def test_no_flipped_byte_in_a_sample_falsifies_anything_while_it_is_open(place, sound, truth):
    draw = random.Random(SEED)
    positions = range(draw.randrange(1021), len(sound), 1021)
    flip_each_while_open(place / NAME, sound, truth, [(position, draw.randrange(1, 256)) for position in positions])


@pytest.mark.campaign
def test_no_flipped_byte_of_each_five_falsifies_anything_while_it_is_open(place, sound, truth):
    flip_each_while_open(place / NAME, sound, truth, [(position, 0x01) for position in range(0, len(sound), 5)])


def cut_each(path: Path, sound: bytes, truth: dict[str, object], lengths: list[int]) -> None:
    for length in lengths:
        path.write_bytes(sound[:length])
        assert verdict_of(path, truth) == "refused", f"cut at {length} of {len(sound)} bytes"


def test_file_cut_at_any_512_bytes_is_refused(place, sound, truth):
    cut_each(place / NAME, sound, truth, list(range(0, len(sound), 512)))


def test_file_cut_anywhere_is_refused(place, sound, truth):
    draw = random.Random(SEED)
    cut_each(place / NAME, sound, truth, [1, 15, 16, 99, 100, *draw.sample(range(len(sound)), 100)])


@pytest.mark.campaign
def test_file_cut_at_every_byte_is_refused(place, sound, truth):
    cut_each(place / NAME, sound, truth, list(range(0, len(sound), 3)))


def test_zeroed_page_is_refused(place, sound, truth):
    for page in range(len(sound) // PAGE):
        (place / NAME).write_bytes(sound[: page * PAGE] + bytes(PAGE) + sound[(page + 1) * PAGE :])
        verdict = verdict_of(place / NAME, truth)
        assert verdict == "refused", f"page {page + 1}: {verdict}"


def test_two_pages_exchanged_are_refused(place, sound, truth):
    pages = [sound[start : start + PAGE] for start in range(0, len(sound), PAGE)]
    for first in range(len(pages)):
        for second in range(first):
            exchanged = list(pages)
            exchanged[first], exchanged[second] = pages[second], pages[first]
            (place / NAME).write_bytes(b"".join(exchanged))
            verdict = verdict_of(place / NAME, truth)
            expected = "sound" if pages[first] == pages[second] else "refused"
            assert verdict == expected, f"pages {first + 1} and {second + 1}: {verdict}"


def test_foreign_files_are_refused_and_left_alone(place, truth):
    path = place / NAME
    path.write_text("[ioc]\nprefix = 'X'\n" * 100)
    assert verdict_of(path, truth) == "refused"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert verdict_of(path, truth) == "refused"
    path.unlink()
    path.symlink_to(place / "nowhere")
    with pytest.raises(OSError, match=NAME):
        contents(path)
    assert path.is_symlink()
