"""Devices that move the simulated links."""

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal
from ophyd.status import Status


class Stage(Device):
    """A detector stage: it says that it moves while it does."""

    readback = Cpt(EpicsSignal, "Z:RBV", kind="hinted", auto_monitor=True)
    moving = Cpt(EpicsSignal, "Z:MOVN", kind="omitted")

    @property
    def position(self):
        return self.readback.get()

    def set(self, place):
        status = Status(self)

        def move():
            try:
                for signal, value in ((self.moving, 1), (self.readback, place), (self.moving, 0)):
                    signal.set(value).wait(timeout=20)
            except Exception as error:  # noqa: BLE001
                status.set_exception(error)
            else:
                status.set_finished()

        self.readback.cl.thread_class(target=move, daemon=True).start()
        return status
