"""Simulated PVs that a geometry depends on, in a process of their own.

``python motors.py NAME MODE PLACE SWING MOTOR...`` serves them.

Motors (`Z` and `Y`, unless others are named), an energy, a binning, an image, and a mode, which is a text
or a number; all of them take puts. Motors and energy have a field `.EGU`, first with mm and keV; `Bare` has
none, but its units, cut from micrometers, come with its value. `Fragile` cannot be monitored as long as
`Broken` is not 0. While `Speed` is not 0, every motor steps by that much, and waits for `Pause` (s); while
`Swing` is not 0, every second step leads back, the first one too; both begin as `SWING` says.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from typing import Self

from live import TIMEOUT

MOTORS = ("Z", "Y")


class Motors:
    """The simulated PVs, served on a port of this session.

    Parameters
    ----------
    name
        First part of every PV name.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.mode: str | float = "idle"
        """First value of `Mode`, which also sets its type, from the next start on."""
        self.names = MOTORS
        """The motors that there are, from the next start on."""
        self.interface = "127.0.0.1"
        """Where they are served, from the next start on."""
        self.place = 1000.0
        """Where every motor stands first, from the next start on."""
        self.swing = 0.0
        """By how much every motor steps there and back, from the next start on."""
        self.process: subprocess.Popen[bytes] | None = None

    def pv(self, suffix: str) -> str:
        """Name a PV: ``Z:RBV``, ``Z:MOVN``, ``Energy``, ``BinX``, ``Image``, ``Mode``, ``Speed``, ..."""
        return f"{self.name}{suffix}"

    def link(self, name: str, suffix: str, **keys: object) -> str:
        """Write a link of the configuration, a motor's in mm unless the keys say otherwise."""
        if "kind" not in keys:
            keys = {"kind": "motor", "units": "mm", "tolerance": 0.05, **keys}
        if "moving" in keys:
            keys["moving"] = self.pv(str(keys["moving"]))
        lines = [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in {"name": name, "pv": self.pv(suffix), **keys}.items()
        ]
        return "\n".join(["[[detector.link]]", *lines, ""])

    def start(self, wrapper: tuple[str, ...] = ()) -> Self:
        """Serve the PVs; a client that searches for them finds them soon.

        Parameters
        ----------
        wrapper
            A command that runs the server inside it, such as nsenter.
        """
        environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(self.port)}
        environment["EPICS_CAS_INTF_ADDR_LIST"] = self.interface
        environment["EPICS_CAS_AUTO_BEACON_ADDR_LIST"] = "NO"
        environment["EPICS_CAS_BEACON_ADDR_LIST"] = f"127.0.0.1:{environment['EPICS_CA_REPEATER_PORT']}"
        words = map(str, (self.name, self.mode, self.place, self.swing, *self.names))
        command = [*wrapper, sys.executable, __file__, *words]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"READY\n"
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process at once; it may be stopped, or gone already."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(TIMEOUT)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


async def _serve(name: str, mode: str, place: str, swing: str, *motors: str) -> None:
    import caproto as ca
    from caproto.asyncio.server import Context

    logging.getLogger("caproto").setLevel(logging.CRITICAL)  # no repeater takes its beacons
    channels = {"Energy": ca.ChannelDouble(value=74.69), "BinX": ca.ChannelInteger(value=1)}
    channels["Mode"] = ca.ChannelString(value=mode) if mode.isalpha() else ca.ChannelDouble(value=float(mode))
    channels |= {"Speed": ca.ChannelDouble(value=float(swing)), "Pause": ca.ChannelDouble(value=0.1)}
    channels["Swing"] = ca.ChannelInteger(value=int(float(swing) != 0))
    channels |= {"Energy.EGU": ca.ChannelString(value="keV"), "Bare": ca.ChannelDouble(value=7e5, units="microme")}
    channels |= {"Image": ca.ChannelDouble(value=[0.0] * 4)}
    channels["Broken"] = ca.ChannelInteger(value=1)

    class Fragile(ca.ChannelDouble):
        async def subscribe(self, *args: object, **options: object) -> None:
            if channels["Broken"].value:
                raise ValueError("broken")
            await super().subscribe(*args, **options)

    channels["Fragile"] = Fragile(value=7.0)
    for motor in motors:
        channels |= {f"{motor}:RBV": ca.ChannelDouble(value=float(place)), f"{motor}:MOVN": ca.ChannelInteger(value=0)}
        channels |= {f"{motor}:RBV.EGU": ca.ChannelString(value="mm")}

    async def ready(_: object) -> None:
        print("READY", flush=True)

    context = Context({name + suffix: channel for suffix, channel in channels.items()})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(context.run(startup_hook=ready))
        tasks.create_task(_move(channels, motors))


async def _move(channels: dict, motors: tuple[str, ...]) -> None:
    back = False
    while True:
        await asyncio.sleep(channels["Pause"].value)
        speed = channels["Speed"].value
        back = bool(speed and channels["Swing"].value) and not back
        for motor in motors if speed else ():
            step = -speed if back else speed
            await channels[f"{motor}:RBV"].write(channels[f"{motor}:RBV"].value + step)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
