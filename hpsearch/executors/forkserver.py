"""A process that has warmed up once, and of which every worker is a copy.

A worker that imports TensorFlow itself takes 7 s of a core and 0.8 GB; a copy takes 15 ms, whenever one is
needed, and shares the memory of what was imported. It is copied before TensorFlow, JAX or torch start
their threads, and does nothing else. (`multiprocessing`'s fork server hides the processes' exit codes, lets a
worker outlive the driver by far, and is one for a whole program.)

driver → fork server: `fork` with the file descriptors of a connection and of a log · `wait PID`
fork server → driver: the exit code of the process waited for
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import warnings

from hpsearch.executors import payload, worker

FORK, WAIT = b"fork", b"wait "
MESSAGE_BYTES = 64


def main() -> None:
    """Serves the driver at the other end of the socket; in each copy, serves it as a worker.

    The arguments come from `process.start`: the file descriptors of the socket, of the payload and of the
    data that workers share, and 1 if the driver's thread that started this process lives as long as the
    driver.
    """
    control_fd, payload_fd, shared_fd, die_with_parent = (int(argument) for argument in sys.argv[1:])
    del sys.argv[1:]
    for descriptor in (control_fd, payload_fd, shared_fd):
        os.set_inheritable(descriptor, False)
    if die_with_parent:
        ctypes.CDLL(None).prctl(worker.PR_SET_PDEATHSIG, signal.SIGKILL)
    control = socket.socket(fileno=control_fd)
    # A copy tries again what failed here, and tells with its first job, where the user looks.
    warm = worker.warm_up(payload.read_first(payload_fd)) is None
    gc.collect()
    gc.freeze()  # the collector would write to all that is shared
    server = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not message:  # the driver is gone
            os._exit(0)
        if message.startswith(WAIT):
            _, status = os.waitpid(int(message.removeprefix(WAIT)), 0)
            control.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # allocators have a thread, and know of forks
            pid = os.fork()
        if pid == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.close()
    connection_fd, log_fd = descriptors
    _become_worker(log_fd, server)
    worker.serve(connection_fd, payload_fd, shared_fd, die_with_parent=True, born=True, warm=warm)


def _become_worker(log_fd: int, server: int) -> None:
    os.setsid()
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # as a process of its own has it; Python's generator does so by itself
    if os.getppid() != server:
        os._exit(1)
