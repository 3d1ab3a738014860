"""Memory that is freed goes back to the system, where the C library is glibc."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE = 1 << 16


def return_freed_memory() -> None:
    """Return freed memory to the system at once: what clients made a server allocate does not stay with it.

    glibc raises its thresholds with the largest block that was ever freed (mallopt(3)), so that a process which once
    needed much memory keeps it. Setting them ends that.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
