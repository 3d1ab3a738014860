"""Memory that a process has freed is not kept by it."""

import subprocess
import sys

import pytest

from ponikeeper.system import free_memory

FREED = """
import sys
from ponikeeper.system.free_memory import return_freed_memory
from ponikeeper.system.process_stats import read
if sys.argv[1] == "set":
    return_freed_memory()
del [bytearray(1 << 24)][0]  # after this, glibc takes smaller blocks from its heap
blocks = [bytearray(1 << 18) for _ in range(200)]
last = bytearray(1 << 12)  # stays, above the others
before = read().memory
del blocks
print(int(before - read().memory))
"""


def freed(how: str) -> int:
    """Run a process that frees 50 MB, and return by how much its memory shrinks (bytes)."""
    ran = subprocess.run([sys.executable, "-c", FREED, how], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(not hasattr(free_memory.ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_returned():
    returned = freed("set")
    assert returned > 45e6
    assert freed("not set") < returned - 5e6
