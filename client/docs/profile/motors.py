"""A soft IOC in place of the motors of the beamline: ``python motors.py``."""

from caproto.ioc_examples.fake_motor_record import FakeMotor
from caproto.server import PVGroup, pvproperty, run


class Panel(PVGroup):
    """How far the detector was knocked out of its place (m), which no PV of a real beamline says."""

    knocked = pvproperty(value=0.0, name="Sim:Knocked")


stage = FakeMotor(
    prefix="XF:28ID1-ES{{Det:PE1-Ax:Z}}Mtr", velocity=2000.0, user_limits=(100.0, 2000.0), tick_rate_hz=50.0
)
panel = Panel(prefix="XF:28ID1-ES{{Det:PE1}}")

if __name__ == "__main__":
    run({**stage.pvdb, **panel.pvdb})
