"""Options of `ponikeeper model`: words of the command line, and back."""

import shlex
from collections.abc import Sequence

from ponikeeper.errors import ConfigError
from ponikeeper_client.model.history_fit import Knowledge
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.option_rules import EXAMPLES, span_problem

_POSITION = "z=523"


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
    form = "link=number" if count == 1 else "link=low,high"
    expected = f"{form}, such as {EXAMPLES.get(option, _POSITION)}"
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


def parse_ranges(words: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Parse the words of ``--range``, such as ``tth=0,40``.

    Parameters
    ----------
    words
        The words.

    Returns
    -------
    dict
        Low and high by link.

    Raises
    ------
    ConfigError
        A word has another form, a link is given twice, or a range has its larger end first, or no length.
    """
    ranges = {link: (low, high) for link, (low, high) in parse_numbers("--range", words, 2).items()}
    if problems := [problem for link, span in ranges.items() if (problem := span_problem(link, *span))]:
        raise ConfigError(problems)
    return ranges


def command_line(prefix: str, revisions: Sequence[str], motion: Motion, known: Knowledge, label: str | None) -> str:
    """Return the command that fits and commits a model.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    revisions
        Numbers or labels of the members.
    motion
        How the detector moves.
    known
        What is known of the motors.
    label
        Label of the model.

    Returns
    -------
    str
        To be typed in a shell.
    """
    words = ["ponikeeper", "model", "fit", prefix]
    for link in motion.stages:
        words += ["--along", link]
    for link, axis in motion.arms:
        words += ["--arm", link, "--axis", str(axis)]
    if motion.beam is not None:
        words += ["--energy", motion.beam]
    if motion.order:
        words += ["--order", ",".join(motion.order)]
    if known.nominal:
        words.append("--nominal")
    for option, values in (("--sigma", known.motor_sigma), ("--scale-sigma", known.scale_sigma)):
        words += [word for link, value in values.items() for word in (option, f"{link}={value!r}")]
    words += [word for link, (low, high) in known.ranges.items() for word in ("--range", f"{link}={low!r},{high!r}")]
    words += ["--revisions", ",".join(revisions), "--put"]
    return shlex.join([*words, "--label", label] if label else words)
