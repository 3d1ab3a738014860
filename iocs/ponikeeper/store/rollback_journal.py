"""Check SQLite's rollback journal, which a crash leaves, before SQLite rolls it back.

SQLite applies what it can read of a journal and deletes it: a damaged one would leave a store of mixed
pages, or a truncated one, and no trace of the cause. A journal that no crash can have left is refused
here, and both files are left as they are.

The format is https://www.sqlite.org/fileformat2.html#the_rollback_journal. A journal that is not
synced yet has a header of zeros (the store has not been changed then); a synced one has the magic number
and the number of its records. A large transaction has several such segments.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEADER = struct.Struct(">8sIIIII")  # magic, records, nonce, pages of the store before, sector, page size
_UNSYNCED = bytes(12)
_UNTIL_THE_END = 0xFFFFFFFF


def problem(journal: Path, store: Path) -> str | None:
    """Describe why a journal cannot have been left by a crash.

    Parameters
    ----------
    journal, store
        The two files; both are only read.

    Returns
    -------
    str or None
        None if a crash can have left it, or if there is no journal.

    Raises
    ------
    OSError
        One of them cannot be read.
    """
    try:
        size = journal.stat().st_size
    except FileNotFoundError:
        return None
    with journal.open("rb") as file, store.open("rb") as stored:
        first_page = stored.read(100)
        return _problem(file, size, first_page)


def _problem(file: BinaryIO, size: int, first_page: bytes) -> str | None:
    position, before, seen = 0, None, set[int]()
    while True:
        file.seek(position)
        header = file.read(_HEADER.size)
        if not header.strip(b"\0") or header[:12] == _UNSYNCED:
            break
        if len(header) < _HEADER.size or header[:8] != _MAGIC:
            return f"there is no header at byte {position}"
        _, records, nonce, pages, sector, page_size = _HEADER.unpack(header)
        if page_size != _page_size(first_page) or sector < 32 or sector & (sector - 1):
            return f"the header at byte {position} does not fit the store"
        before = pages if before is None else before
        position += sector
        if records == _UNTIL_THE_END:
            records = (size - position) // (page_size + 8)
        file.seek(position)
        for _ in range(records):
            record = file.read(page_size + 8)
            record_problem = _record_problem(record, page_size, nonce, before, seen)
            if record_problem is not None:
                return f"the record at byte {position} {record_problem}"
            if record[:4] == b"\0\0\0\1":
                first_page = record[4:104]
            position += page_size + 8
        position += -position % sector
    # the first page has the number of pages, unless an old library wrote it
    stored_pages = struct.unpack(">I", first_page[28:32])[0] if first_page[24:28] == first_page[92:96] else before
    return None if before in (None, stored_pages) else f"it is for a store of {before} pages, not of {stored_pages}"


def _record_problem(record: bytes, page_size: int, nonce: int, pages: int, seen: set[int]) -> str | None:
    if len(record) < page_size + 8:
        return "is truncated"
    number = int.from_bytes(record[:4], "big")
    if not 1 <= number <= pages or number in seen:
        return f"is for page {number} of {pages}"
    seen.add(number)
    page = record[4:-4]
    expected = (nonce + sum(page[page_size - 200 : 0 : -200])) & 0xFFFFFFFF
    return None if expected == int.from_bytes(record[-4:], "big") else "does not match its checksum"


def _page_size(first_page: bytes) -> int:
    size = int.from_bytes(first_page[16:18], "big")
    return 65536 if size == 1 else size
