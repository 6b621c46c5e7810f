"""Ports for kernels that nobody else is given.

jupyter_client asks the system for a free port and closes it again. Until the kernel opens it, the
system may give it to somebody else, above all to another kernel of a parallel build, and then the
build ends with "Kernel died before replying". Here ports come from below the range that systems
give away, and each process of a build begins in a different place.
"""

import os
import socket
from collections.abc import Iterator

from jupyter_client.connect import LocalPortCache
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

FIRST, LAST = 10_240, 32_767  # Linux gives away ports from 32768 on, others from 49152 on
FOR_A_PROCESS = 256

_next: dict[int, Iterator[int]] = {}  # by process: a process that is forked begins anew


def ports(process: int) -> Iterator[int]:
    """Give all ports again and again, from where this process begins."""
    count = LAST + 1 - FIRST
    place = process * FOR_A_PROCESS
    while True:
        yield FIRST + place % count
        place += 1


def is_free(ip: str, port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind((ip, port))
        except OSError:
            return False
    return True


def find_available_port(cache: LocalPortCache, ip: str) -> int:
    """Give the next port of this process that is free."""
    mine = _next.setdefault(os.getpid(), ports(os.getpid()))
    for _, port in zip(range(FIRST, LAST + 1), mine, strict=False):
        if is_free(ip, port):
            return port
    raise OSError(f"no port from {FIRST} to {LAST} is free for a kernel")


def setup(app: Sphinx) -> ExtensionMetadata:
    LocalPortCache.find_available_port = find_available_port  # type: ignore[method-assign, assignment]  # for all kernels
    return {"parallel_read_safe": True, "parallel_write_safe": True}
