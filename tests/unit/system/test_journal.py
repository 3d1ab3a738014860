"""Log records go to the systemd journal with level, logger and source location."""

import logging
import os
import socket
from pathlib import Path

import pytest

from live import TIMEOUT
from ponikeeper.system.journal import Journal, JournalHandler


@pytest.fixture
def journal(tmp_path):
    """Socket of the journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(TIMEOUT)
        yield listening


def received(journal):
    """Receive an entry, and read it by systemd's native protocol."""
    data, files, _, _ = socket.recv_fds(journal, 1_000_000, 1)
    if files:
        with os.fdopen(files[0], "rb") as file:
            file.seek(0)
            data = file.read()
    fields = {}
    while data:
        name, _, data = data.partition(b"\n")
        size = int.from_bytes(data[:8], "little")
        fields[name.decode()], end, data = data[8 : 8 + size].decode(), data[8 + size : 9 + size], data[9 + size :]
        assert end == b"\n"
    return fields


@pytest.fixture
def logger(request):
    """A logger that writes only to the journal."""
    logger = logging.getLogger(f"ponikeeper.{request.node.name}")
    logger.propagate, logger.level = False, logging.DEBUG
    yield logger
    for handler in [each for each in logger.handlers if isinstance(each, JournalHandler)]:
        logger.removeHandler(handler)
        handler._journal.close()


def test_log_entry_has_level_logger_and_source_location(journal, logger):
    logger.addHandler(JournalHandler(Journal(Path(journal.getsockname()))))
    try:
        Path("/nowhere/ponikeeper.sqlite").read_bytes()
    except OSError:
        logger.exception("store of %s", "P:")
    logger.debug("small")
    fields = received(journal)
    assert fields["MESSAGE"].startswith("store of P:\nTraceback")
    assert fields["MESSAGE"].endswith("No such file or directory: '/nowhere/ponikeeper.sqlite'")
    assert (fields["PRIORITY"], fields["PONIKEEPER_LOGGER"]) == ("3", logger.name)
    assert fields["CODE_FILE"] == __file__
    assert received(journal)["PRIORITY"] == "7"


def test_entry_that_the_journal_does_not_accept_is_written_to_stderr(tmp_path, capsys, logger):
    logger.addHandler(JournalHandler(Journal(tmp_path / "gone")))
    logger.error("store")
    assert capsys.readouterr().err == f"ERROR {logger.name}: store\n"
