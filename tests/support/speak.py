"""Channel Access for tests: aioca on a thread of its own, and circuits byte by byte."""

import asyncio
import contextlib
import getpass
import json
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self, TypeVar

import aioca
import caproto as ca
from aioca import DBR_CHAR_STR, FORMAT_CTRL, FORMAT_TIME

from live import wait_for
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind

T = TypeVar("T")

TIMEOUT = 20.0

GEOMETRY: dict[str, Any] = {
    "dist": 0.2345, "poni1": 0.1, "poni2": 0.11, "rot1": 0.002, "rot2": 0.001, "rot3": 0.0,
    "pixel1": 0.0002, "pixel2": 0.0002, "wavelength": 1.66e-11, "detector": "Perkin",
}  # fmt: skip
"""Ten values that make a first commit."""

TEXTS = tuple(pv.suffix for pv in (*DETECTOR_PVS, *IOC_PVS) if pv.kind is Kind.TEXT)


class _Loop:
    """The event loop in which every aioca call of the session runs: libca's contexts belong to a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="aioca").start()

    def run(self, awaitable: Awaitable[T]) -> T:
        async def outcome() -> tuple[Any, Exception | None]:
            try:
                return await awaitable, None
            except Exception as error:  # noqa: BLE001
                return None, error  # a future would lose it: an aioca.CANothing is false

        value, error = asyncio.run_coroutine_threadsafe(outcome(), self.loop).result(2 * TIMEOUT)
        if error is not None:
            raise error
        return value


_loop: list[_Loop] = []


def run(awaitable: Awaitable[T]) -> T:
    """Run one exchange of aioca."""
    if not _loop:
        _loop.append(_Loop())
    return _loop[0].run(awaitable)


def _is_text(pv: str) -> bool:
    return pv.endswith(TEXTS)


def get(pv: str) -> Any:
    """Get one value; long texts as text."""
    value = run(aioca.caget(pv, datatype=DBR_CHAR_STR if _is_text(pv) else None, timeout=TIMEOUT))
    return str(value) if isinstance(value, str) else value


def read(pvs: list[str], datatype: Any = None) -> list[Any]:
    """Get many values at once, with timestamp, status and severity."""
    return run(aioca.caget(pvs, datatype=datatype, format=FORMAT_TIME, timeout=TIMEOUT))


def info(pvs: list[str]) -> list[Any]:
    """Get many values at once, with units, precision, limits, states."""
    return run(aioca.caget(pvs, format=FORMAT_CTRL, timeout=TIMEOUT))


def put(pv: str, value: Any, datatype: Any = None) -> str | None:
    """Put and wait for the completion; return the error of a refused put, None where it was accepted."""
    if datatype is None and isinstance(value, str) and _is_text(pv):
        datatype = DBR_CHAR_STR
    if isinstance(value, bytes):
        value, datatype = list(value), aioca.DBR_CHAR
    try:
        run(aioca.caput(pv, value, datatype=datatype, wait=True, timeout=TIMEOUT))
    except aioca.CANothing as error:
        return str(error)
    return None


def snapshot(prefix: str) -> dict[str, Any]:
    """Read the snapshot."""
    return json.loads(get(f"{prefix}Snapshot_RBV"))


def results(prefix: str) -> list[dict[str, Any]]:
    """Read the last results, newest first."""
    return json.loads(get(f"{prefix}Results_RBV"))["results"]


def counters(prefix: str) -> tuple[int, int]:
    """Read how many transactions were accepted and refused."""
    return int(get(f"{prefix}Accepted_RBV")), int(get(f"{prefix}Rejected_RBV"))


def commit_text(request: str = "first", **more: Any) -> str:
    """Write a commit of all ten values; `more` replaces and adds keys."""
    return json.dumps({"v": 1, "request": request, "op": "commit", "geometry": GEOMETRY} | more)


def request(prefix: str, text: str) -> dict[str, Any]:
    """Put a request and return its result."""
    put(f"{prefix}Request", text)
    return results(prefix)[0]


def forget() -> None:
    """Drop every channel, so that the next call searches at once: libca waits longer and longer for a lost server."""

    async def purge() -> None:
        aioca.purge_channel_caches()

    run(purge())


class Monitor:
    """One subscription and the values that it received."""

    def __init__(self, pv: str) -> None:
        self.values: list[Any] = []
        datatype = DBR_CHAR_STR if _is_text(pv) else None

        async def subscribe() -> Any:
            return aioca.camonitor(pv, self.values.append, datatype=datatype, format=FORMAT_TIME, all_updates=True)

        self._subscription = run(subscribe())
        wait_for(lambda: self.values, what=f"the first value of {pv}")

    def close(self) -> None:
        async def close() -> None:
            self._subscription.close()

        run(close())


@contextlib.contextmanager
def monitoring(*pvs: str) -> Iterator[list[Monitor]]:
    """Subscribe as long as the block lasts; the first values have arrived when it begins."""
    monitors = [Monitor(pv) for pv in pvs]
    try:
        yield monitors
    finally:
        for monitor in monitors:
            monitor.close()


class Wire:
    """One circuit, with every message in the test's own hands.

    Parameters
    ----------
    receive_buffer
        Size of the socket's receive buffer (bytes): a small one lets a client that does not read stall soon.
    user, host
        Who it claims to be; this user, where None, on localhost.
    source
        The address of loopback that it comes from.
    """

    def __init__(
        self,
        port: int,
        receive_buffer: int | None = None,
        user: str | None = None,
        host: str = "localhost",
        source: str = "127.0.0.1",
    ) -> None:
        self.circuit = ca.VirtualCircuit(our_role=ca.CLIENT, address=("127.0.0.1", port), priority=0)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.circuit.our_address = self.sock.getsockname()
        self._arrived: queue.Queue[Any] = queue.Queue()
        self.rights: dict[int, ca.AccessRights] = {}
        names = (ca.HostNameRequest(host), ca.ClientNameRequest(user or getpass.getuser()))
        self.send(ca.VersionRequest(0, 13), *names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *commands: Any) -> None:
        """Send commands in one segment."""
        self.sock.sendall(b"".join(buffer for command in commands for buffer in self.circuit.send(command)))

    def receive(self, kind: type | tuple[type, ...], where: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the next message of a kind; others before it are dropped."""
        while True:
            while not self._arrived.empty():
                message = self._arrived.get()
                if isinstance(message, kind) and where(message):
                    return message
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the circuit")
            for message in self.circuit.recv(data)[0]:
                self.circuit.process_command(message)
                if isinstance(message, ca.AccessRightsResponse):
                    self.rights[message.cid] = ca.AccessRights(message.access_rights)
                self._arrived.put(message)

    def channel(self, name: str) -> Any:
        """Create a channel."""
        channel = ca.ClientChannel(name, self.circuit)
        self.send(channel.create())
        answer = self.receive(
            (ca.CreateChanResponse, ca.CreateChFailResponse), lambda message: message.cid == channel.cid
        )
        assert isinstance(answer, ca.CreateChanResponse), name
        return channel

    def put(self, channel: Any, data: Any, data_type: Any, **options: Any) -> Any:
        """Put with completion, and return the server's answer."""
        self.send(channel.write(data, data_type=data_type, notify=True, **options))
        return self.receive((ca.WriteNotifyResponse, ca.ErrorResponse))
