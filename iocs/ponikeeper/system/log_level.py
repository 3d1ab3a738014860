"""The log level of a process: from its environment, and changed by signals while it runs."""

import asyncio
import logging
import signal

from ponikeeper.errors import ConfigError

VARIABLE = "PONIKEEPER_LOG_LEVEL"
"""Environment variable with the level."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

log = logging.getLogger(__name__)


def parse_level(text: str) -> int:
    """Parse the name of a level.

    Parameters
    ----------
    text
        Such as ``INFO``, in any case.

    Raises
    ------
    ConfigError
        It is unknown.
    """
    if text.upper() not in LEVELS:
        raise ConfigError(f"log level {text!a} is unknown: expected DEBUG, INFO, WARNING or ERROR")
    return int(getattr(logging, text.upper()))


def watch_signals(loop: asyncio.AbstractEventLoop) -> None:
    """Log everything from SIGUSR1 on, and as before from SIGUSR2 on.

    Parameters
    ----------
    loop
        The event loop of the process.
    """
    level = logging.getLogger().level
    loop.add_signal_handler(signal.SIGUSR1, _set_level, logging.DEBUG)
    loop.add_signal_handler(signal.SIGUSR2, _set_level, level)


def _set_level(level: int) -> None:
    logging.getLogger().setLevel(level)
    log.log(max(level, logging.WARNING), "log level: %s", logging.getLevelName(level))
