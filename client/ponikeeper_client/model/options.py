"""Options of `ponikeeper model`."""

from collections.abc import Sequence

from ponikeeper.errors import ConfigError


def parse_numbers(option: str, words: Sequence[str], count: int = 1) -> dict[str, tuple[float, ...]]:
    """Parse words such as ``z=523`` or ``tth=0,40``.

    Parameters
    ----------
    option
        Name of the option, for messages.
    words
        The words.
    count
        How many numbers follow each ``=``.

    Returns
    -------
    dict
        Numbers by link.

    Raises
    ------
    ConfigError
        A word has another form, or a link is given twice.
    """
    values: dict[str, tuple[float, ...]] = {}
    expected = "link=number, such as z=523" if count == 1 else "link=low,high, such as tth=0,40"
    for word in words:
        link, _, numbers = word.partition("=")
        try:
            parsed = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            parsed = ()
        if not link or len(parsed) != count or not all(abs(number) < float("inf") for number in parsed):
            raise ConfigError(f"{option} {word}: expected {expected}")
        if link in values:
            raise ConfigError(f"{option} {word}: {link} is given twice")
        values[link] = parsed
    return values
