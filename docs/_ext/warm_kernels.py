"""Kernels that begin with everything imported: half of a cold build was the import of PyTorch.

Run as a program, this is a process that imports what pages import and then waits. Asked for a
kernel, it forks: the kernel has the modules, and nothing else that another page could have touched.
The build starts one such process and asks it for the kernel of each page. Where a process cannot
be forked safely (macOS, Windows), kernels start as everywhere else.
"""

import gc
import importlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MODULES = (
    "torch",
    "torch._dynamo",  # what torch.export, torch.compile and the exporter of ONNX import
    "torch._inductor.compile_fx",
    "matplotlib.pyplot",
    "ipykernel.kernelapp",
    "onnxscript",
    "unrolled",
    "unrolled_site.figures",
    "unrolled_site.comparison",
    "unrolled_site.language",
)


def serve(listener: socket.socket) -> None:
    """Fork a kernel for each that connects, until standard input is closed."""
    del sys.path[0]  # the folder of this file, which a kernel does not see
    # As every kernel sets it.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that have ended leave nothing behind
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        with Connection(listener.accept()[0].detach()) as connection:
            command, folder, environment = connection.recv()
            if not os.fork():
                listener.close()
                os.setsid()  # before anybody asks for the group of the process, to end it
                connection.send(os.getpid())
                connection.close()
                become_kernel(command, folder, environment)


def become_kernel(command: list[str], folder: str, environment: Mapping[str, str]) -> None:
    """Be what `command` would start: ``python -m ipykernel_launcher`` and its arguments."""
    from ipykernel import kernelapp

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()  # as in a process of its own: not what other pages draw
    sys.modules["numpy"].random.seed()
    sys.argv = command[2:]
    arguments = [*command[3:], f"--IPKernelApp.parent_handle={os.getppid()}"]
    kernelapp.launch_new_instance(argv=arguments)
    os._exit(0)


class Kernel:
    """A forked kernel, with what jupyter_client asks of a process that it has started."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int):
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.01)
        return 0

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start(app: Any, env: Any, pages: list[str]) -> None:
    """Start the process that forks kernels, and let all kernels come from it."""
    if len(pages) < 2:
        return  # a kernel of its own is there as soon
    from jupyter_client.provisioning import local_provisioner

    folder = tempfile.TemporaryDirectory(prefix="kernels-")
    address = str(Path(folder.name, "socket"))
    # Only the other process holds on to the listener: if it ends, nobody waits for it. Its standard
    # input is inherited by the processes of the build: it is closed when the last has ended.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, __file__, str(number)], stdin=subprocess.PIPE, pass_fds=[number]
        )

    def fork_kernel(
        command: list[str], env: Mapping[str, str] | None = None, cwd: str | None = None, **_: Any
    ) -> Kernel:
        asking = socket.socket(socket.AF_UNIX)
        asking.setblocking(True)  # Sphinx's linkcheck gives every new socket a limit of time
        asking.connect(address)
        with Connection(asking.detach()) as connection:
            connection.send((command, cwd or os.getcwd(), dict(env or os.environ)))
            return Kernel(connection.recv())

    usual = local_provisioner.launch_kernel  # type: ignore[attr-defined]  # see below

    def stop(app: Any, exception: Exception | None) -> None:
        local_provisioner.launch_kernel = usual  # type: ignore[attr-defined]  # see below
        assert process.stdin
        process.stdin.close()
        process.wait()
        folder.cleanup()

    local_provisioner.launch_kernel = fork_kernel  # type: ignore[attr-defined, assignment]  # a part of it will do
    app.connect("build-finished", stop)


def setup(app: Any) -> dict[str, bool]:
    if sys.platform == "linux":
        app.connect("env-before-read-docs", start)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
