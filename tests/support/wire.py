"""One CA client on one socket: puts and gets that fail at once when the server is gone."""

import contextlib
import itertools
import socket
import uuid
from typing import Any, Self

import caproto as ca

from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Commit, Request, Result, Snapshot, parse_request, parse_results, request_text
from ponikeeper.text import strictjson


class Wire:
    """A circuit to a server on loopback; a put or get that is not answered raises OSError.

    Parameters
    ----------
    port
        The server's TCP port.
    """

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._circuit = ca.VirtualCircuit(ca.CLIENT, ("127.0.0.1", port), 0)
        self._channels: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def put_text(self, pv: str, text: str) -> None:
        """Put a text to a char waveform and wait for the answer; a refusal raises RefusedError."""
        data = text.encode()
        request = self._channel(pv).write(data, data_type=ca.ChannelType.CHAR, data_count=len(data), notify=True)
        self._ask(request, (ca.WriteNotifyResponse,))

    def get_text(self, pv: str) -> str:
        """Get a char waveform, or an enum's text."""
        response = self._get(pv, ca.ChannelType.CHAR if self._is_waveform(pv) else ca.ChannelType.STRING)
        if not self._is_waveform(pv):
            return response.data[0].decode()
        return bytes(bytearray(int(item) & 0xFF for item in response.data)).partition(b"\0")[0].decode()

    def get_severity(self, pv: str) -> ca.AlarmSeverity:
        """Get the alarm severity of a PV."""
        return ca.AlarmSeverity(int(self._get(pv, ca.ChannelType.TIME_STRING).metadata.severity))

    def snapshot(self, prefix: str) -> Snapshot:
        """Read the snapshot."""
        return Snapshot.from_json(self.get_text(f"{prefix}Snapshot_RBV"))

    def results(self, prefix: str) -> list[Result]:
        """Get the last results, newest first."""
        return parse_results(self.get_text(f"{prefix}Results_RBV"))

    def transact(self, prefix: str, request: Request) -> Result:
        """Put a request and find its result; a refusal is a result too."""
        with contextlib.suppress(RefusedError):
            self.put_text(f"{prefix}Request", request_text(request))
        return next(result for result in self.results(prefix) if result.request == request.request)

    def _is_waveform(self, pv: str) -> bool:
        return self._channel(pv).native_data_type is ca.ChannelType.CHAR

    def _get(self, pv: str, data_type: ca.ChannelType) -> Any:
        return self._ask(self._channel(pv).read(data_type=data_type), (ca.ReadNotifyResponse,))

    def _channel(self, pv: str) -> Any:
        if pv not in self._channels:
            channel = ca.ClientChannel(pv, self._circuit)
            if not self._channels:
                self._send(channel.version(), channel.host_name("here"), channel.client_name("campaign"))
            self._ask(channel.create(), (ca.CreateChanResponse,))
            self._channels[pv] = channel
        return self._channels[pv]

    def _send(self, *commands: Any) -> None:
        self._socket.sendall(b"".join(bytes(part) for part in self._circuit.send(*commands)))

    def _ask(self, command: Any, answers: tuple[type, ...]) -> Any:
        self._send(command)
        while True:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("the server is gone")
            commands, _ = self._circuit.recv(received)
            for answer in commands:
                self._circuit.process_command(answer)
                if isinstance(answer, ca.ErrorResponse):
                    raise RefusedError(str(answer.error_message))
                if isinstance(answer, answers):
                    return answer


_numbers = itertools.count(1)


def new_request(geometry: dict[str, object], **options: Any) -> Commit:
    """Make a commit with an unused id and the digest that the server computes."""
    commit = Commit(geometry, {"method": "manual"}, request=f"{next(_numbers)}-{uuid.uuid4().hex[:8]}", **options)
    parsed = parse_request(request_text(commit))
    assert isinstance(parsed, Commit)
    return parsed


def as_json(value: object) -> str:
    """Write a value so that two can be compared bit by bit."""
    return strictjson.canonical(strictjson.plain(value))
