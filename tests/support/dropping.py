"""Packets dropped between an IOC and the server of its link: ``python dropping.py SECONDS MODE`` measures it.

It makes networks of its own, for which it has to run by itself in a network namespace (`command`): the
IOC and its client on one side, a router that forwards or drops, the linked PVs on the other side. The
loss is silent: no connection is closed, and no address becomes unreachable. In the mode `busy` the
link sends ten updates a second, also while the packets are dropped.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from namespaces import UNSHARE, inside, namespace, run

_HOST, _ROUTER = ("10.9.1.1", "10.9.2.1"), ("10.9.1.2", "10.9.2.2")
"""Addresses of the two ends, and of the router towards each of them."""

_PATIENCE = 120.0


def command(seconds: float, mode: str) -> list[str]:
    """Return the command that runs this module in a network namespace of its own."""
    return [*UNSHARE, sys.executable, __file__, str(seconds), mode]


class Network:
    """The networks, once they are made: this process at one end, a namespace at the other."""

    def __init__(self, router: int, far: int) -> None:
        self._router = router
        self.far = inside(far)
        """What runs a command at the other end."""

    def forward(self, passes: bool) -> None:
        """Forward packets, or drop them."""
        run(*inside(self._router), "sh", "-c", f"echo {int(passes)} > /proc/sys/net/ipv4/ip_forward")


@contextlib.contextmanager
def networks() -> Iterator[Network]:
    """Make the networks; they end with the block."""
    with namespace() as router, namespace() as far:
        for number, end in enumerate((None, far)):
            run("ip", "link", "add", f"end{number}", "type", "veth", "peer", "name", f"side{number}")
            run("ip", "link", "set", f"side{number}", "netns", str(router))
            if end is not None:
                run("ip", "link", "set", f"end{number}", "netns", str(end))
            here, there = () if end is None else inside(end), inside(router)
            for where, device, address in (
                (here, f"end{number}", _HOST[number]),
                (there, f"side{number}", _ROUTER[number]),
            ):
                run(*where, "ip", "address", "add", f"{address}/24", "dev", device)
                run(*where, "ip", "link", "set", device, "up")
                run(*where, "ip", "link", "set", "lo", "up")
            run(*here, "ip", "route", "add", "default", "via", _ROUTER[number])
        network = Network(router, far)
        network.forward(True)
        yield network


def measure(network: Network, folder: Path, seconds: float, busy: bool) -> dict[str, object]:
    """Drop packets for a while; measure when the status reported it, and when the status was right again (s)."""
    # libca reads its environment when it is loaded
    os.environ.update(
        EPICS_CA_ADDR_LIST="127.0.0.1:46301", EPICS_CA_AUTO_ADDR_LIST="NO", EPICS_CA_REPEATER_PORT="46303"
    )
    from live import LiveIoc, serving, wait_for
    from motion import Record
    from motors import Motors
    from speak import commit_text, request

    motors = Motors("D:", 46302)
    motors.interface = _HOST[1]
    if busy:
        motors.swing = 0.01
    motors.start(network.far)
    reach = {"EPICS_CA_ADDR_LIST": f"127.0.0.1 {_HOST[1]}:{motors.port}"}
    detector = "{Det:1}Calib:"
    more = {detector: "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")}
    ioc = LiveIoc(folder, 46301, "D", (detector,), more, reach)
    try:
        with serving(ioc), Record(ioc.prefixes, {}) as record:
            wait_for(lambda: json.loads(record.seen[f"{ioc.prefix}Links_RBV"][-1].value)["links"][0]["moving"] is False)
            request(ioc.prefix, commit_text("first", position="now"))
            record.until(status="VALID")
            network.forward(False)
            dropped = time.monotonic()
            noticed = record.until(status="UNKNOWN")
            wait_for(lambda: time.monotonic() - dropped >= seconds, timeout=seconds + 1)
            network.forward(True)
            statuses = record.statuses(ioc.prefix, time.time() - (time.monotonic() - dropped) + noticed)
            recovered = record.until(_PATIENCE, status="VALID")
    finally:
        motors.kill()
    return {"noticed": noticed, "recovered": recovered, "statuses": statuses}


if __name__ == "__main__":
    with networks() as network, tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(network, Path(folder), float(sys.argv[1]), sys.argv[2] == "busy")))
