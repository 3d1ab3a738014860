"""Numbers of revisions as a person types them."""

from ponikeeper.errors import ConfigError


def revision_number(text: str) -> int:
    """Parse the number of a revision.

    Parameters
    ----------
    text
        As it was typed.

    Returns
    -------
    int
        The number; whether there is such a revision is not known.

    Raises
    ------
    ConfigError
        It is no number, such as a label.
    """
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(
            f"{text!a} is not the number of a revision: expected one such as 12; ponikeeper history lists them, with "
            "their labels"
        )
    return int(text)
