"""The errors of ponikeeper: one root, each with the builtin that fits beside it.

This module is the catalogue: whatever the IOC, the command line or the client raise on purpose is
here, and its message says what was wrong, what was expected and what to write instead.
"""

from collections.abc import Iterable, Mapping


class PonikeeperError(Exception):
    """Root of every error that ponikeeper raises on purpose."""


class ProblemsError(PonikeeperError, ValueError):
    """Input that was refused, with every problem that was found in it.

    Parameters
    ----------
    problems
        One sentence for each thing that is wrong; at least one.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class GeometryError(ProblemsError):
    """Values that are no geometry: missing, out of range, of the wrong type or unit."""


class PoniError(ProblemsError):
    """A PONI text that cannot be read to one whole geometry."""


class MessageError(ProblemsError):
    """A JSON text that is not a request, a result or a snapshot.

    Attributes
    ----------
    request
        The request id, where it could be read although the rest is bad.
    """

    def __init__(self, problems: str | Iterable[str], request: str | None = None, op: str | None = None) -> None:
        super().__init__(problems)
        self.request = request
        self.op = op


class HistoryError(ProblemsError):
    """A record of a history, or an exported history, that is not what was written."""


class ConfigError(ProblemsError):
    """A configuration file that cannot be used; each problem names file, key and value."""


class AccessFileError(ProblemsError):
    """An access security file that cannot be used; the problem names the line."""


class RefusedError(ProblemsError):
    """The IOC refused a transaction; the problems are its own reasons."""


class ShapeError(PonikeeperError, ValueError):
    """An image does not have the shape that the recorded geometry is for."""


class NoGeometryError(PonikeeperError, LookupError):
    """No geometry was recorded where one was looked for."""


class RecordError(PonikeeperError, RuntimeError):
    """What a run records of the geometry would not be true."""


class CalibrantError(PonikeeperError, LookupError):
    """A powder standard that is not known, or a file that lists none."""


class WavelengthError(PonikeeperError, ValueError):
    """The wavelength is not known, or what is said of it contradicts itself."""


class ImageError(PonikeeperError, ValueError):
    """An image or a mask that cannot be used."""


class FitError(ProblemsError):
    """An image from which no geometry can be had that could be stood for; each problem says why."""


class CalibrationError(ProblemsError):
    """A calibration that put no geometry in force; each problem says why, and what to do.

    Attributes
    ----------
    results
        Of several detectors, what was found for the others, by their names.
    """

    def __init__(self, problems: str | Iterable[str], results: Mapping[str, object] | None = None) -> None:
        super().__init__(problems)
        self.results = dict(results or {})


class Calib2Error(PonikeeperError, RuntimeError):
    """pyFAI-calib2 could not be started, failed, or saved a file that is not a whole PONI."""


class CalibrationCancelled(PonikeeperError, RuntimeError):  # noqa: N818  # a person's decision is not an error
    """The window of pyFAI-calib2 was closed, or the plan ended, before a PONI was saved."""


class NoDisplayError(PonikeeperError, RuntimeError):
    """pyFAI-calib2 cannot open its window here."""


class FileWriteError(PonikeeperError, OSError):
    """A file cannot be written; it is as it was before."""


class StoreError(PonikeeperError, OSError):
    """The store on disk cannot be read or written now; nothing of it is lost."""


class DamagedStoreError(StoreError):
    """The store on disk is not what was written to it; it is never replaced silently."""


class UncertainStoreError(StoreError):
    """The disk failed in the last step of a transaction; whether it has the transaction is not known yet."""


class BusyStoreError(StoreError):
    """Another process serves this store."""


class NotConnectedError(PonikeeperError, ConnectionError):
    """A PV does not answer."""


class MissingExtraError(PonikeeperError, ImportError):
    """A part of ponikeeper that is not installed; the message is the line that installs it."""

    def __init__(self, extra: str, missing: str) -> None:
        super().__init__(f"{missing} is not installed: pip install 'ponikeeper[{extra}]'")


class MissingOphydAsyncError(MissingExtraError):
    """ophyd-async is not installed; no extra of ponikeeper installs it."""

    def __init__(self) -> None:
        ImportError.__init__(self, "ophyd-async is not installed: pip install ophyd-async")


class MissingDarkframesError(MissingExtraError):
    """bluesky-darkframes is not installed; no extra of ponikeeper installs it."""

    def __init__(self) -> None:
        ImportError.__init__(
            self, "dark frames need bluesky-darkframes, which is not installed: pip install bluesky-darkframes"
        )
