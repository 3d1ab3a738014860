"""All errors of ponikeeper: one root, each also a subclass of the builtin that fits.

The IOC, the command line and the client raise no others of their own. Each message says what was wrong, what was
expected and what to write instead.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType


class PonikeeperError(Exception):
    """Root of every error that ponikeeper raises on purpose."""


class ProblemsError(PonikeeperError, ValueError):
    """Input that was refused, with all of its problems.

    Parameters
    ----------
    problems
        A message for each problem; at least one.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class GeometryError(ProblemsError):
    """Values that do not form a geometry: missing, out of range, or of the wrong type or unit."""


class ModelError(ProblemsError):
    """A model, a geometry as a function of the position, that cannot be used as it is given."""


class PoniError(ProblemsError):
    """A PONI text that is not one complete geometry."""


class MessageError(ProblemsError):
    """A JSON text that is not a request, a result or a snapshot.

    Attributes
    ----------
    problems
        A message for each problem; at least one.
    request
        The request id, where it could be read although the text is invalid.
    op
        The operation, where it could be read.
    """

    def __init__(self, problems: str | Iterable[str], request: str | None = None, op: str | None = None) -> None:
        super().__init__(problems)
        self.request = request
        self.op = op


class HistoryError(ProblemsError):
    """A history record or history file that is invalid or was changed after it was written."""


class ConfigError(ProblemsError):
    """A configuration file that cannot be used; each problem names file, key and value."""


class AccessFileError(ProblemsError):
    """An access security file that cannot be used; the problem names the line."""


class RefusedError(ProblemsError):
    """A request is refused, by a rule of the IOC or, seen from a client, by the IOC; the problems are the reasons."""


class ShapeError(PonikeeperError, ValueError):
    """An image does not have the shape that the recorded geometry is for."""


class GeometryFileError(PonikeeperError, ValueError):
    """A file that belongs to a geometry, of its detector or a mask, is missing or has another content."""


class NoGeometryError(PonikeeperError, LookupError):
    """No geometry was recorded in the given documents, files or history."""


class NoUncertaintyError(PonikeeperError, LookupError):
    """A geometry without a covariance: it was typed, read from a file, or edited, not fitted to an image."""


class NotValidError(PonikeeperError, RuntimeError):
    """A geometry of a run that does not apply where the links were.

    Parameters
    ----------
    geometry
        Which geometry.
    status
        Name of its status.
    reason
        Why it does not apply.
    remedy
        What to do instead.
    """

    def __init__(self, geometry: str, status: str, reason: str, remedy: str) -> None:
        self.geometry, self.status, self.reason, self.remedy = geometry, status, reason, remedy
        why = f"{status}: {reason}" if reason else status
        super().__init__(f"{geometry} does not apply, the status is {why}; {remedy}")

    def __reduce__(self) -> tuple[type["NotValidError"], tuple[str, str, str, str]]:
        """Return how to build the same error in another process."""
        return type(self), (self.geometry, self.status, self.reason, self.remedy)


class RecordError(PonikeeperError, RuntimeError):
    """The geometry in the documents of a run would be wrong."""


class CalibrantError(PonikeeperError, LookupError):
    """A calibrant that is unknown, or a file without lattice spacings."""


class WavelengthError(PonikeeperError, ValueError):
    """The wavelength is unknown, or its sources contradict each other."""


class ImageError(PonikeeperError, ValueError):
    """An image or a mask that cannot be used."""


class IntegrationError(PonikeeperError, ValueError):
    """An image that cannot be integrated with exactly the settings of its revision."""


class FitError(ProblemsError):
    """The fit was rejected; each problem says why."""


class CalibrationError(ProblemsError):
    """A calibration that activated no geometry; each problem says why, and what to do.

    Attributes
    ----------
    problems
        A message for each problem; at least one.
    results
        Results of the other detectors by name, where several were calibrated.
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
    """A file cannot be written; it is unchanged."""


class StoreError(PonikeeperError, OSError):
    """The store cannot be read or written now; nothing is lost."""


class DamagedStoreError(StoreError):
    """The file of the store was damaged or changed; it is never replaced silently."""


class UncertainStoreError(StoreError):
    """The disk failed in the last step of a transaction; whether the transaction is stored is not known yet."""


class BusyStoreError(StoreError):
    """Another process serves this store."""


class NotConnectedError(PonikeeperError, ConnectionError):
    """A PV is not connected or does not answer."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and Jupyter show: no line of code is wrong, so none is shown."""
        return [f"{type(self).__name__}: {self}"]


class ControlLayerError(PonikeeperError, RuntimeError):
    """ophyd uses a control layer that this client does not support.

    Parameters
    ----------
    layer
        Name of the control layer.
    """

    def __init__(self, layer: str) -> None:
        super().__init__(
            f"ophyd's control layer is {layer}: CalibrationData needs pyepics. Write OPHYD_CONTROL_LAYER=pyepics into "
            'the environment, or ophyd.set_cl("pyepics") before the first device is made'
        )


class RecsyncError(PonikeeperError, ValueError):
    """A message from a recceiver that is not of the recsync protocol."""


EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "caproto": "ioc", "pydantic": "ioc", "uvloop": "ioc", "p4p": "pva",
        "numpy": "client", "ophyd": "client", "epics": "client", "bluesky": "client", "event_model": "client",
        "pyFAI": "fit", "fabio": "fit", "h5py": "fit", "scipy": "fit",
        "tiled": "catalog", "tifffile": "catalog",
        "pandas": "plot", "matplotlib": "plot", "jinja2": "plot",
        "bluesky_tiled_plugins": "demo", "phoebusgen": "screens",
    }
)  # fmt: skip
"""The extra of the distribution that installs each library which is not always there."""


class MissingExtraError(PonikeeperError, ImportError):
    """A part of ponikeeper that is not installed; the message says how to install it.

    Parameters
    ----------
    missing
        Name of the module that could not be imported; its library is named.
    extra
        Name of the extra of the distribution, as pip takes it; default: that of `EXTRAS`, or ``all``.
    """

    def __init__(self, missing: str, extra: str = "") -> None:
        library = missing.partition(".")[0]
        extra = extra or EXTRAS.get(library, "all")
        super().__init__(f"{library} is not installed: pip install 'ponikeeper[{extra}]'")


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
