"""What the IOCs answer before an exposure or a reading: asked once for all detectors of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bluesky.utils import Msg
from ophyd import Device

from ponikeeper_client._fresh_gets import Proof
from ponikeeper_client.device import CalibrationData, calibrations, proofs

Answers = Mapping[CalibrationData, Proof | None]

_IN_SEQUENCE = frozenset({"trigger", "read"})
"""The messages of which the detectors of one event have one each, right after each other."""


class SharedProofs:
    """Asks the IOCs of all detectors of an event in one round trip: at its first trigger, and when it is created.

    Which detectors are triggered after the first one is not known. Those that the plan staged are asked, too.
    An answer is used only while it agrees with what the monitors have delivered.

    Parameters
    ----------
    guarded
        The calibrations that are guarded; None for all.
    ask
        Asks the IOCs of some calibrations, as `proofs` does.
    """

    def __init__(
        self,
        guarded: Sequence[CalibrationData] | None = None,
        ask: Callable[[Sequence[CalibrationData]], Answers] = proofs,
    ) -> None:
        self._guarded, self._ask = guarded, ask
        self._staged: dict[Any, list[CalibrationData]] = {}
        self._answers: Answers = {}

    def note(self, msg: Msg) -> None:
        """Note what a message stages; the answers are forgotten when the triggers or readings are over."""
        if msg.command == "stage" and isinstance(msg.obj, Device):  # of ophyd-async it would make devices for its PVs
            own = calibrations(msg.obj)
            self._staged[msg.obj] = [each for each in own if self._guarded is None or each in self._guarded]
        elif msg.command == "unstage":
            self._staged.pop(msg.obj, None)
        if msg.command not in _IN_SEQUENCE:
            self.forget()

    def forget(self) -> None:
        """Forget the answers: time has passed."""
        self._answers = {}

    def ask(self, calibs: Sequence[CalibrationData]) -> Answers:
        """Ask the IOCs of some calibrations.

        Parameters
        ----------
        calibs
            The calibrations.

        Returns
        -------
        Mapping
            For each what it accepts as ``proof``; None where it has to ask for itself.
        """
        self._answers = self._ask(calibs)
        return self._answers

    def of_trigger(self, calibs: Sequence[CalibrationData], others: Sequence[CalibrationData]) -> Answers:
        """Return what the IOCs answered since the first trigger of the event.

        Parameters
        ----------
        calibs
            The calibrations of the detector that is triggered.
        others
            Those that were read before in the run, and may be triggered next.

        Returns
        -------
        Mapping
            As `ask`, for `calibs`.
        """
        if any(calib not in self._answers for calib in calibs):
            staged = [calib for each in self._staged.values() for calib in each]
            self.ask(list(dict.fromkeys([*calibs, *others, *staged])))
        return {calib: self._answers[calib] for calib in calibs}

    def known(self, calib: CalibrationData) -> Proof | None:
        """Return what was answered for a calibration; None if it was not asked, or time has passed."""
        return self._answers.get(calib)
