"""Log records go to the systemd journal with level, logger and source location."""

import logging
from pathlib import Path

import pytest

from journal_entries import received
from ponikeeper.system.systemd_journal import Journal, JournalHandler


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
