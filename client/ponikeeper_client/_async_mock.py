"""The mock of an ophyd-async calibration: the fake ophyd device of the same PVs answers in place of the IOC."""

from collections.abc import Mapping
from typing import Any

from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Result, parse_request, results_json
from ponikeeper.text import timestamps

try:
    from ophyd_async.core import callback_on_mock_put, set_mock_value
except ImportError:  # before they were moved
    from ophyd_async.testing import callback_on_mock_put, set_mock_value


def simulate(calib: Any, fake: Any) -> None:
    """Connect the mock signals of a calibration to its fake, in both directions.

    Parameters
    ----------
    calib
        An `AsyncCalibrationData` in mock mode.
    fake
        The fake `CalibrationData`, which has a default snapshot.
    """

    def show(value: str, **_: Any) -> None:
        if value != shown[-1]:
            shown[:] = [value]
            set_mock_value(calib.snapshot, value)

    def changed(reading: Mapping[str, Any]) -> None:
        value = next(iter(reading.values()))["value"]
        if value and value != shown[-1]:  # by a test, with set_mock_value
            shown[:] = [value]
            fake.snapshot.sim_put(value)

    def answer(text: str) -> None:
        request = parse_request(text)
        try:
            result = fake.transact(request)
        except RefusedError as error:
            now = timestamps.from_datetime(timestamps.now())
            result = Result(request.request, request.op, "refused", None, None, error.problems, now)
        set_mock_value(calib.results, results_json([result]))

    shown = [""]
    set_mock_value(calib.results, results_json([]))
    callback_on_mock_put(calib.request, answer)
    fake.snapshot.subscribe(show)
    subscribe = getattr(calib.snapshot, "subscribe_reading", None) or calib.snapshot.subscribe  # its older name
    subscribe(changed)
