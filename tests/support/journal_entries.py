"""Entries of the systemd journal, read from a socket by the native protocol."""

import os
import socket


def received(journal):
    """Receive an entry, and read it by systemd's native protocol."""
    data, files, _, _ = socket.recv_fds(journal, 1_000_000, 1)
    if files:
        with os.fdopen(files[0], "rb") as file:
            file.seek(0)
            data = file.read()
    fields = {}
    while data:
        name, _, data = data.partition(b"\n")
        size = int.from_bytes(data[:8], "little")
        fields[name.decode()], end, data = data[8 : 8 + size].decode(), data[8 + size : 9 + size], data[9 + size :]
        assert end == b"\n"
    return fields
