"""Lines of the log cannot control a terminal."""

import logging

from ponikeeper.system.log_format import PrintableFormatter


def test_what_would_control_the_terminal_is_escaped():
    record = logging.LogRecord("ca", logging.INFO, __file__, 1, "put of %s", ("eve\x1b[2J\r\x9bm\u202e",), None)
    assert PrintableFormatter("%(name)s: %(message)s").format(record) == "ca: put of eve\\x1b[2J\\r\\x9bm\\u202e"
