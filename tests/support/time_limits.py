"""Pytest plugin: a campaign has no time limit, and a run that is over ends even where a thread of it does not.

The limit of an ordinary test is `faulthandler_timeout` in pyproject.toml.
"""

import faulthandler
import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("exit_timeout", "seconds from the end of the run to the end of its process", default="60")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Cancel the limit that pytest has just set for this test, if it is a campaign."""
    if item.get_closest_marker("campaign"):
        faulthandler.cancel_dump_traceback_later()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Exit with the stack of every thread when the process still runs after `exit_timeout`.

    A thread that is no daemon keeps the interpreter from exiting: one that a failed test left behind would
    keep the whole run from ending.
    """
    faulthandler.dump_traceback_later(float(config.getini("exit_timeout")), exit=True, file=sys.__stderr__)
