"""bluesky's plans with a shutter, calibration and dark frames, under xpdAcq's names."""

import functools
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, overload

from bluesky import plans as bp
from bluesky.utils import Msg
from rich.text import Text

from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, Result, Snapshot
from ponikeeper.protocol.outcome import outcome_lines
from ponikeeper.system.terminal import make_console
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import read_poni
from ponikeeper_client.plans import Calibrated, calibrate
from ponikeeper_client.plans.background import BackgroundTask
from ponikeeper_client.xpdacq._exposing import Plan, RememberedShutter, dark_plan, require_darkframes, with_shutter

if TYPE_CHECKING:
    from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice

P = ParamSpec("P")


class _WithShutter(Generic[P]):
    """A plan of bluesky as an attribute: unchanged on the class, with the shutter on its objects."""

    def __init__(self, plan: Callable[P, Plan]) -> None:
        self._plan = plan

    @overload
    def __get__(self, plans: None, owner: type) -> Callable[P, Plan]: ...

    @overload
    def __get__(self, plans: "XrayBasicPlans", owner: type) -> Callable[P, Plan]: ...

    def __get__(self, plans: "XrayBasicPlans | None", owner: type) -> Callable[P, Plan]:
        if plans is None:
            return self._plan

        @functools.wraps(self._plan)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> Plan:
            md = kwargs.get("md")
            if isinstance(md, dict):
                kwargs["md"] = dict(md)  # some of bluesky's plans write into it
            return plans.shutter_wrapper(self._plan(*args, **kwargs))

        return wrapped


class XrayBasicPlans:
    """bluesky's plans with a shutter, which is opened before the first exposure and always closed at the end.

    Each has the parameters of bluesky's plan of the same name.

    Parameters
    ----------
    shutter
        Any settable ophyd object.
    shutter_open, shutter_close
        The values to which it is set.
    db
        The session's catalog (databroker, Tiled), from which `calibrate` reads the images; with None
        it reads them through the run's own documents.
    """

    count = _WithShutter(bp.count)
    scan = _WithShutter(bp.scan)
    rel_scan = _WithShutter(bp.rel_scan)
    list_scan = _WithShutter(bp.list_scan)
    rel_list_scan = _WithShutter(bp.rel_list_scan)
    log_scan = _WithShutter(bp.log_scan)
    rel_log_scan = _WithShutter(bp.rel_log_scan)
    grid_scan = _WithShutter(bp.grid_scan)
    rel_grid_scan = _WithShutter(bp.rel_grid_scan)
    list_grid_scan = _WithShutter(bp.list_grid_scan)
    rel_list_grid_scan = _WithShutter(bp.rel_list_grid_scan)
    scan_nd = _WithShutter(bp.scan_nd)
    spiral = _WithShutter(bp.spiral)
    rel_spiral = _WithShutter(bp.rel_spiral)
    spiral_fermat = _WithShutter(bp.spiral_fermat)
    rel_spiral_fermat = _WithShutter(bp.rel_spiral_fermat)
    spiral_square = _WithShutter(bp.spiral_square)
    rel_spiral_square = _WithShutter(bp.rel_spiral_square)
    x2x_scan = _WithShutter(bp.x2x_scan)
    adaptive_scan = _WithShutter(bp.adaptive_scan)
    rel_adaptive_scan = _WithShutter(bp.rel_adaptive_scan)
    tune_centroid = _WithShutter(bp.tune_centroid)
    if hasattr(bp, "inner_product_scan"):  # an old name of scan, which bluesky may drop
        inner_product_scan = _WithShutter(bp.inner_product_scan)

    def __init__(self, shutter: Any, shutter_open: Any, shutter_close: Any, db: Any = None) -> None:
        self._shutter = RememberedShutter(shutter, shutter_open, shutter_close)
        self.db = db

    def shutter_wrapper(self, plan: Any) -> Plan:
        """Wrap a plan with the shutter, which is opened before the first exposure and always closed at the end.

        Parameters
        ----------
        plan
            Any plan.

        Returns
        -------
        generator
            The wrapped plan.
        """
        return with_shutter(plan, self._shutter)

    def calibrate(
        self, detectors: Sequence[Any], calibs: Sequence[CalibrationData] | None = None, **kwargs: Any
    ) -> Plan:
        """Expose a powder standard, open pyFAI-calib2 for the user, and activate the saved geometry.

        Parameters
        ----------
        detectors
            To expose, all in one run.
        calibs
            The `CalibrationData` of each; if omitted, the one component of that kind that each has.
        **kwargs
            As for `ponikeeper_client.calibrate`. The defaults are xpdAcq's: ``calibrant="Ni"``, ``method="gui"``,
            ``output_dir="xpdacq_calib"``, and the shutter and the catalog of this object.

        Returns
        -------
        dict of str to Calibrated
            By the detector's name.

        Raises
        ------
        CalibrationError
            For at least one detector no geometry was activated.
        """
        own: dict[str, Any] = {
            "calibrant": "Ni", "method": "gui", "output_dir": "xpdacq_calib", "shutter": self._shutter,
        }  # fmt: skip
        if kwargs.get("images") is None:
            own["db"] = self.db
        results: dict[str, Calibrated] = yield from calibrate(detectors, calibs, **{**own, **kwargs})
        return results

    @staticmethod
    def config_by_poni(
        calib: CalibrationData, file: str | Path, *, label: str | None = None, here: bool = False
    ) -> Plan:
        """Commit a PONI file in one transaction, and print what is active and whether it applies.

        Parameters
        ----------
        calib
            The calibration of the detector.
        file
            A PONI file.
        label
            Name of the revision, such as ``"near"``.
        here
            Whether it is valid where the detector is now; otherwise its position is unknown.

        Returns
        -------
        Result
            The accepted result, with its revision.

        Raises
        ------
        CalibrationError
            The file does not contain one whole geometry.
        RefusedError
            The IOC refused; the message has its reasons.
        NotConnectedError
            The IOC does not answer.
        """
        return (yield from committed(calib, read_poni(Path(file)), label, here=here))

    def dark_plan(self, detector: Any) -> Generator[Msg, Any, "SnapshotDevice"]:
        """Record a dark frame for bluesky-darkframes; a shutter that was open is opened again.

        Parameters
        ----------
        detector
            A staged detector; it is staged again before and after, so that the dark frame is in its own file.

        Returns
        -------
        SnapshotDevice
            The reading of the detector.

        Raises
        ------
        MissingDarkframesError
            bluesky-darkframes is not installed.
        """
        return (yield from dark_plan(detector, self._shutter))

    def create_dark_frame_preprocessor(
        self,
        *,
        detector: Any,
        max_age: float,
        locked_signals: Sequence[Any] | None = None,
        limit: int | None = None,
        stream_name: str = "dark",
    ) -> "DarkFramePreprocessor":
        """Return a preprocessor for ``RE.preprocessors`` that records a dark frame in each run.

        Parameters
        ----------
        detector
            The detector.
        max_age
            Age at which a new dark frame is taken (s).
        locked_signals
            Signals whose change requires a new dark frame, such as the exposure time. A dark frame
            that is used again is recorded with the geometry with which it was taken, unless
            ``detector.calib.serial`` is among them.
        limit
            How many dark frames are stored; None stores all.
        stream_name
            The stream in which they are recorded.

        Returns
        -------
        bluesky_darkframes.DarkFramePreprocessor
            The preprocessor.

        Raises
        ------
        MissingDarkframesError
            bluesky-darkframes is not installed.
        """
        return require_darkframes().DarkFramePreprocessor(
            dark_plan=self.dark_plan, detector=detector, max_age=max_age, locked_signals=locked_signals, limit=limit,
            stream_name=stream_name,
        )  # fmt: skip


def committed(calib: CalibrationData, geometry: Geometry, label: str | None, *, here: bool) -> Plan:
    """Commit a geometry; as `XrayBasicPlans.config_by_poni`."""
    commit = Commit(geometry.as_dict(), {"method": "poni"}, label, "now" if here else "unknown")

    def run(*_: Any) -> tuple[Result, Snapshot | None]:
        return calib.transact(commit), calib.verified()

    # off the RunEngine's loop, in a thread that shares the session's Channel Access
    task = BackgroundTask(f"configure {calib.name}", run, calib.snapshot.cl.thread_class)
    yield from task.finish()
    result, snapshot = task.result()
    for line in outcome_lines(calib.prefix, result, snapshot, position=True):
        make_console().print(Text(line), soft_wrap=True)
    return result
