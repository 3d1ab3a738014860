"""A server with two networks: how clients of each find it. ``python two_networks.py`` prints it as JSON.

It makes the networks, for which it has to run by itself in a network namespace (`command`): the servers on one side,
and a namespace with a client behind each of their two interfaces. EPICS base's server and ponikeeper's are asked the
same.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from namespaces import UNSHARE, inside, namespace, run
from raw import Raw, message

_SERVERS = ("10.9.1.1", "10.9.2.1")
_CLIENTS = ("10.9.1.2", "10.9.2.2")
_BROADCASTS = ("10.9.1.255", "10.9.2.255")
_REPEATER = 5065


def command() -> list[str]:
    """Return the command that runs this module in a network namespace of its own."""
    return [*UNSHARE, sys.executable, __file__]


@contextlib.contextmanager
def networks() -> Iterator[tuple[int, int]]:
    """Make the networks; yield a process in the namespace of each client."""
    with namespace() as first, namespace() as second:
        run("ip", "link", "set", "lo", "up")
        for number, client in enumerate((first, second)):
            run("ip", "link", "add", f"end{number}", "type", "veth", "peer", "name", f"side{number}")
            run("ip", "link", "set", f"side{number}", "netns", str(client))
            for where, device, address in (
                ((), f"end{number}", _SERVERS[number]),
                (inside(client), f"side{number}", _CLIENTS[number]),
            ):
                run(*where, "ip", "address", "add", f"{address}/24", "brd", _BROADCASTS[number], "dev", device)
                run(*where, "ip", "link", "set", device, "up")
                run(*where, "ip", "link", "set", "lo", "up")
        yield first, second


def ask(client: int, *words: str) -> object:
    """Run this module as a client, in its namespace."""
    done = subprocess.run(
        [*inside(client), sys.executable, __file__, *words], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def search(address: str, port: int, name: str) -> list[object] | None:
    """Search a name; return the address and the port of the reply."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.settimeout(0.2)
        for _ in range(5):
            sock.sendto(message(0, b"", 1, 13, 1) + message(6, name.encode() + b"\0", 5, 13, 7, 7), (address, port))
            with contextlib.suppress(TimeoutError):
                data, sender = sock.recvfrom(1024)
                return [sender[0], int.from_bytes(data[20:22], "big")]
    return None


def beacon(port: int, timeout: float) -> list[object] | None:
    """Wait for a beacon of a server; return the address that it came from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", _REPEATER))
        print("ready", file=sys.stderr, flush=True)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                data, sender = sock.recvfrom(1024)
                if len(data) >= 16 and data[:2] == b"\0\x0d" and int.from_bytes(data[6:8], "big") == port:
                    return [sender[0]]
    return None


def search_by_tcp(address: str, port: int, name: str) -> list[object] | None:
    """Search as a client with EPICS_CA_NAME_SERVERS does; return the port of the reply."""
    try:
        with Raw(port, address=address) as raw:
            raw.send(message(6, name.encode() + b"\0", 5, 13, 7, 7))
            return [raw.receive(6).data_type]
    except OSError:
        return None


def found_by(clients: tuple[int, int], port: int, name: str) -> dict[str, object]:
    """Return how the clients find a server."""
    return {
        f"{kind} {number}": ask(client, kind, address, str(port), name)
        for number, client in enumerate(clients)
        for kind, address in (
            ("broadcast", _BROADCASTS[number]), ("unicast", _SERVERS[number]), ("tcp", _SERVERS[number]),
        )
    }  # fmt: skip


def measure(folder: Path) -> dict[str, object]:
    """Ask EPICS base's server and ponikeeper's, bound to the first interface and to all."""
    os.environ["EPICS_CA_REPEATER_PORT"] = str(_REPEATER)
    for name in ("EPICS_CAS_BEACON_ADDR_LIST", "EPICS_CA_ADDR_LIST"):
        os.environ.pop(name, None)
    from base_ioc import SoftIoc
    from live import LiveIoc, serving

    result: dict[str, object] = {}
    with networks() as clients:
        for bound, interfaces in (("one", _SERVERS[0]), ("all", "")):
            os.environ |= {"EPICS_CAS_INTF_ADDR_LIST": interfaces, "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "YES"}
            (folder / bound).mkdir()
            with SoftIoc("BASE:", 46401, folder / bound, beacons=True):
                result[f"base, {bound}"] = found_by(clients, 46401, "BASE:Number")
            environment = {
                "EPICS_CAS_INTF_ADDR_LIST": interfaces, "EPICS_CAS_BEACON_ADDR_LIST": "",
                "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "YES", "EPICS_CAS_IGNORE_ADDR_LIST": "",
            }  # fmt: skip
            ioc = LiveIoc(folder, 46402, f"P{bound}", ("{Det:1}Calib:",), environment=environment)
            listeners = [
                subprocess.Popen(
                    [*inside(client), sys.executable, __file__, "beacon", "46402", "30"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
                for client in clients
            ]  # fmt: skip
            for listener in listeners:
                assert listener.stderr is not None
                listener.stderr.readline()
            with serving(ioc):
                result[f"ponikeeper, {bound}"] = found_by(clients, 46402, f"{ioc.prefix}Dist")
                if bound == "all":
                    result["beacons"] = [json.loads(listener.communicate()[0]) for listener in listeners]
                else:
                    result["beacon, one"] = json.loads(listeners[0].communicate()[0])
                    listeners[1].kill()
                    listeners[1].communicate()
        environment = {"EPICS_CAS_INTF_ADDR_LIST": "", "EPICS_CAS_IGNORE_ADDR_LIST": _CLIENTS[1]}
        ioc = LiveIoc(folder, 46402, "Pignore", ("{Det:1}Calib:",), environment=environment)
        with serving(ioc):
            result["ignored"] = [
                ask(client, "unicast", _SERVERS[number], "46402", f"{ioc.prefix}Dist")
                for number, client in enumerate(clients)
            ]
    return result


def main() -> None:
    """Run as a client, or measure."""
    if len(sys.argv) == 1:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(Path(folder))))
        return
    kind, *words = sys.argv[1:]
    if kind == "beacon":
        print(json.dumps(beacon(int(words[0]), float(words[1]))))
    elif kind == "tcp":
        print(json.dumps(search_by_tcp(words[0], int(words[1]), words[2])))
    else:
        print(json.dumps(search(words[0], int(words[1]), words[2])))


if __name__ == "__main__":
    main()
