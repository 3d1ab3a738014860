"""libca's context, made by the program itself."""

from epicscorelibs.ca.cadef import ca_context_create

_PREEMPTIVE = 1


def keep_context() -> None:
    """Make the library's context here: one that aioca makes it destroys at exit, and waits there for a hung peer."""
    ca_context_create(_PREEMPTIVE)
