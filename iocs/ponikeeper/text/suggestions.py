"""The name that was probably meant, for messages about an unknown one."""

import difflib
from collections.abc import Iterable

MAX_NAMES = 10
"""Unknown names that a message has: a client may send thousands."""

_LONGEST = 40


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean dist?)"``, or an empty text if no known name is close.

    Parameters
    ----------
    name
        The unknown name.
    known
        The names that there are.
    """
    by_lower_case = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), by_lower_case, n=1) if len(name) <= _LONGEST else []
    return f" (did you mean {by_lower_case[close[0]]}?)" if close else ""
