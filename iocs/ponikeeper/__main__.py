"""The command ``ponikeeper``."""

import os
import sys


def main() -> None:
    """Run the command line; an older Python gets a message instead of a SyntaxError."""
    if sys.version_info < (3, 11):  # noqa: UP036  # this check is for older versions
        sys.exit("ponikeeper needs Python 3.11 or newer, this is " + sys.version.split()[0])
    _open_standard_streams()
    from ponikeeper.cli.app import run

    run()


def _open_standard_streams() -> None:
    """Open the null device as each standard stream that a supervisor has closed.

    Otherwise a socket would get its number, which the event loop refuses to close (it aborts).
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one


if __name__ == "__main__":
    main()
