"""The command ``ponikeeper``."""

import sys


def main() -> None:
    """Run the command line; older Pythons get a sentence, not a SyntaxError."""
    if sys.version_info < (3, 11):  # noqa: UP036  # this is what tells them
        sys.exit("ponikeeper needs Python 3.11 or newer, this is " + sys.version.split()[0])
    from ponikeeper.cli.app import run

    run()


if __name__ == "__main__":
    main()
