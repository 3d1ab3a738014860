"""bluesky's plans with a shutter, and what a session needs beside them, under xpdAcq's names."""

import functools
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, overload

from bluesky import plans as bp
from bluesky.utils import Msg

from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, Result
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import read_poni
from ponikeeper_client.plans import Calibrated, calibrate
from ponikeeper_client.plans.background import BackgroundTask
from ponikeeper_client.xpdacq._exposing import Plan, RememberedShutter, dark_plan, require_darkframes, with_shutter

if TYPE_CHECKING:
    from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice

P = ParamSpec("P")


class _WithShutter(Generic[P]):
    """One of bluesky's plans as an attribute: of the class as it is, of its objects with their shutter."""

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
    """bluesky's plans with a shutter: opened before the first exposure, closed again whatever happens.

    Each takes what bluesky's plan of that name takes.

    Parameters
    ----------
    shutter
        Any settable ophyd object.
    shutter_open, shutter_close
        What it is set to.
    db
        The session's catalog (databroker, Tiled), where `calibrate` finds the images; with None it
        takes them from the run's own documents.
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
        """Give any plan the shutter, opened before its first exposure, closed again whatever happens."""
        return with_shutter(plan, self._shutter)

    def calibrate(
        self, detectors: Sequence[Any], calibs: Sequence[CalibrationData] | None = None, **kwargs: Any
    ) -> Plan:
        """Expose a powder standard, let a person calibrate in pyFAI-calib2, and put that in force.

        Parameters
        ----------
        detectors
            To expose, all in one run.
        calibs
            The `CalibrationData` of each; left out, the one component of that kind that each has.
        **kwargs
            What `ponikeeper_client.plans.calibrate` takes. Left out it is ``method="gui"``,
            ``output_dir="xpdacq_calib"``, and the shutter and the catalog of this object.

        Returns
        -------
        dict of str to Calibrated
            By the detector's name.

        Raises
        ------
        CalibrationError
            For at least one detector nothing was put in force.
        """
        own: dict[str, Any] = {"method": "gui", "output_dir": "xpdacq_calib", "shutter": self._shutter}
        if kwargs.get("images") is None:
            own["db"] = self.db
        results: dict[str, Calibrated] = yield from calibrate(detectors, calibs, **{**own, **kwargs})
        return results

    @staticmethod
    def config_by_poni(
        calib: CalibrationData, file: str | Path, *, label: str | None = None, here: bool = False
    ) -> Plan:
        """Put a PONI file in force as one transaction.

        Parameters
        ----------
        calib
            Of the detector.
        file
            A whole PONI.
        label
            Name of the revision, such as ``"near"``.
        here
            Whether it holds where the detector stands now; else its position is not known.

        Returns
        -------
        Result
            With the revision.

        Raises
        ------
        CalibrationError
            The file cannot be read to one whole geometry.
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            The IOC does not answer.
        """
        return (yield from committed(calib, read_poni(Path(file)), label, here=here))

    def dark_plan(self, detector: Any) -> Generator[Msg, Any, "SnapshotDevice"]:
        """Take a dark frame, as bluesky-darkframes wants it; a shutter that was open is opened again.

        Parameters
        ----------
        detector
            Is staged; it is staged anew before and after, so the dark frame is in a file of its own.

        Returns
        -------
        SnapshotDevice
            The detector as it read then.

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
        """Give what makes each run record a dark frame, for ``RE.preprocessors``.

        Parameters
        ----------
        detector
            Of which.
        max_age
            When a new one is taken (s).
        locked_signals
            Whose change asks for a new one, such as the exposure time. A dark frame that is used
            again is recorded with the geometry with which it was taken, unless
            ``detector.calib.serial`` is among them.
        limit
            How many are kept; None keeps all.
        stream_name
            Where they are recorded.

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
    """Put a geometry in force; as `XrayBasicPlans.config_by_poni`."""
    commit = Commit(geometry.as_dict(), {"method": "poni"}, label, "now" if here else "unknown")
    # off the RunEngine's loop, in a thread that shares the session's Channel Access
    task = BackgroundTask(f"configure {calib.name}", lambda *_: calib.transact(commit), calib.snapshot.cl.thread_class)
    yield from task.finish()
    result: Result = task.result()
    return result
