"""The command ``ponikeeper``."""

import sys


def main() -> None:
    """Run the command line; an older Python gets a message instead of a SyntaxError."""
    if sys.version_info < (3, 11):  # noqa: UP036  # this check is for older versions
        sys.exit("ponikeeper needs Python 3.11 or newer, this is " + sys.version.split()[0])
    from ponikeeper.cli.app import run

    run()


if __name__ == "__main__":
    main()
