"""The health of one part of the IOC as two PVs: a status with an alarm, and a message."""

import time
from collections.abc import Mapping
from typing import Any

from caproto import AlarmSeverity, AlarmStatus

from ponikeeper.text.ascii import to_ascii

_MAX_MESSAGE = 1000
"""Characters of a message: what a screen has room for."""


class HealthPVs:
    """Publishes ``<name>:Status_RBV`` (OK or FAILED, which is a MAJOR alarm) and ``<name>:Message_RBV``.

    Parameters
    ----------
    channels
        The IOC's own channels, by suffix.
    name
        The part of the IOC: ``Storage``, ``Access``, ``PutLog`` or ``Clock``.
    failure
        Alarm status of a failure, such as ``AlarmStatus.WRITE``.
    """

    def __init__(self, channels: Mapping[str, Any], name: str, failure: AlarmStatus) -> None:
        self._status, self._message = channels[f"{name}:Status_RBV"], channels[f"{name}:Message_RBV"]
        self._failure = failure

    def publish(self, ok: bool, message: str) -> None:
        """Publish whether the part works, and a message, at the present time."""
        alarm = (AlarmSeverity.NO_ALARM, AlarmStatus.NO_ALARM) if ok else (AlarmSeverity.MAJOR_ALARM, self._failure)
        now = time.time()
        self._status.post("OK" if ok else "FAILED", now, *alarm)
        self._message.post(to_ascii(message)[:_MAX_MESSAGE], now, *alarm)
