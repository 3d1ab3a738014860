"""The form of the lines of the log."""

import logging

from ponikeeper.text.ascii import printable


class PrintableFormatter(logging.Formatter):
    """Formats records so that nothing in them controls a terminal: names of users and hosts are what clients claim."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, with the traceback if it has one."""
        return printable(super().format(record))
