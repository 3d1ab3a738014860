"""Implementation of `ponikeeper model fit`: a history in, a model and a picture out, or the reasons against it."""

from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from ponikeeper.errors import MissingExtraError, RefusedError
from ponikeeper.protocol import Commit
from ponikeeper.system import terminal
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.system.terminal import make_console
from ponikeeper_client.fit.commit import CommitOptions, connected, require_label
from ponikeeper_client.model.commit import commit_of
from ponikeeper_client.model.fit import FittedModel
from ponikeeper_client.model.history_fit import HistoryFit, Knowledge, fit_history
from ponikeeper_client.model.model_file import write_json
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.table import joint_lines, member_table, print_table, range_table
from ponikeeper_client.recall._lookup import read_history

_out, _err = make_console(), make_console(stderr=True)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a fit.

    Parameters
    ----------
    history
        The file of an exported history, or the address of a mirror; None asks the IOC.
    output
        The JSON file to write; None writes none.
    picture
        The PNG file to write; None draws none.
    """

    history: str | None = None
    output: Path | None = None
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Committing:
    """How a fitted model is committed.

    Parameters
    ----------
    label
        Label of the revision.
    seconds
        How long to wait until its geometry applies (s); None does not wait.
    ask
        Whether to ask before.

    Raises
    ------
    ConfigError
        The label is not allowed.
    """

    label: str | None = None
    seconds: float | None = None
    ask: bool = True

    def __post_init__(self) -> None:
        require_label(self.label)


def fit(prefix: str, words: str, motion: Motion, known: Knowledge, files: Files, committing: Committing | None) -> bool:
    """Fit a model to revisions of a detector, print it, and write and commit it if nothing is against it.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    words
        Which revisions: labels and numbers with commas between, or ``all``.
    motion
        How the detector moves.
    known
        What is known of the motors.
    files
        The files to read and to write.
    committing
        How to commit the model; None does not.

    Returns
    -------
    bool
        Whether nothing is against the model, and it applies in the time that was asked for.

    Raises
    ------
    FitError
        The revisions cannot be members of one model, do not determine it, or do not agree where other links were.
    ConfigError
        An option names a link that is no joint.
    RefusedError, NotConnectedError, HistoryError
        The IOC did not accept the model, or does not answer; the history cannot be read, or is of another detector;
        the question was not answered by yes.
    FileWriteError, MissingExtraError
        A file cannot be written, or the picture cannot be drawn.
    """
    if files.history is not None and committing is None:
        return _report(fit_history(read_history(prefix, mirror=files.history), words, motion, known), prefix, files)
    how = committing or Committing()
    options = CommitOptions(prefix, how.label, None, how.seconds)
    with connected(options, "a history that was exported can be fitted with --history FILE") as ioc:
        links = ioc.links()
        made = fit_history(read_history(prefix, mirror=files.history), words, motion, known, links)
        accepted = _report(made, prefix, files)
        if committing is None or not accepted:
            return accepted
        request = commit_of(made.fitted, made.members, links, committing.label)
        if committing.ask and terminal.is_interactive() and not terminal.ask(_question(prefix, request)):
            raise RefusedError("nothing was committed: the question was not answered by yes")
        return ioc.send(request)


def _report(made: HistoryFit, prefix: str, files: Files) -> bool:
    """Print a model, the problems on stderr, and write its files; return whether nothing is against it."""
    fitted, title = made.fitted, f"model of {prefix}"
    _out.print(Text(title), soft_wrap=True)
    print_table(member_table(fitted.model))
    for line in joint_lines(fitted.model):
        _out.print(Text(line), soft_wrap=True)
    for joint in fitted.model.joints:
        print_table(range_table(fitted.model, joint.link))
    for note in (*fitted.notes, *made.notes):
        _out.print(Text(note, style="yellow"), soft_wrap=True)
    for problem in fitted.problems:
        _err.print(Text(problem, style="bold red"), soft_wrap=True)
    if files.picture is not None:
        _write_picture(files.picture, fitted, title)
    if files.output is not None and not fitted.problems:
        write_json(files.output, fitted.model.as_dict())
    return not fitted.problems


def _question(prefix: str, request: Commit) -> str:
    label = f" with the label {request.label}" if request.label else ""
    return f"Commit this model to {prefix}{label}, and activate it?"


def _write_picture(path: Path, fitted: FittedModel, title: str) -> None:
    """Draw a model to a PNG file; raises `MissingExtraError` and `FileWriteError`."""
    try:
        from ponikeeper_client.model.figure import draw

        content = draw(fitted, title)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "matplotlib") from error
    write_atomic(path, content)
