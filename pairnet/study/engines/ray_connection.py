"""The connection of this process to Ray: a local instance for one study, or a cluster that runs already."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pairnet.errors import ArgumentError, WorkerError
from pairnet.extras import needed_by

ANSWER = 60.0
"""Seconds within which a cluster has to answer. Ray itself would try for minutes, and print while it does."""

_STORE = 256 << 20
"""Bytes of the object store of a local instance: it holds one data set, of which MNIST takes 55 MB."""

_FAILURES = (OSError, RuntimeError, ValueError)
"""What ray.init raises: no cluster, or one with other versions of Ray and Python."""

_PROBE = "import ray; ray.init({!r}, log_to_driver=False, logging_level='ERROR')"
_REMEDY = 'start one with `ray start --head`, and run the study on one of its nodes with `address` "auto" or HOST:PORT'


def import_ray() -> Any:
    """The module, told to send no usage statistics.  MissingExtraError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise it warns of what it will change
    with needed_by("the engine ray"):
        import ray
    return ray


def check_address(address: str | None) -> None:
    """ArgumentError unless `address` has the form of one."""
    host, _, port = (address or "auto").rpartition(":")
    if address not in (None, "auto") and not (host and "/" not in host and port.isdecimal() and 0 < int(port) < 65536):
        raise ArgumentError(f'expected `address` to be auto or HOST:PORT of a Ray cluster, got "{address}"')


@contextmanager
def connected(address: str | None, *, cpus: int) -> Iterator[Any]:
    """Connects to the cluster at `address` ("auto": the one of this machine) -> the module `ray`.

    With None, Ray is started on this machine with `cpus` CPUs, and stopped at the end. A cluster keeps running. So does
    a connection that this process has had before; it is used if it is to the same cluster.

    WorkerError if there is no cluster, or it does not answer within ANSWER seconds, or Ray cannot be started.
    ArgumentError if this process is connected to another one.
    """
    ray = import_ray()
    if ray.is_initialized():
        current = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", current):
            raise ArgumentError(
                f"expected `address` {current}, to which this process is connected, got {address}: call ray.shutdown()"
            )
        yield ray
        return
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            _start(ray, cpus)
        else:
            _expect_answer(address)
            try:
                _init(ray, address)
            except _FAILURES as error:
                raise _no_cluster(address, str(error)) from error
        with _nothing_printed():
            yield ray
    finally:
        ray.shutdown()
        if in_main and before is not None:
            signal.signal(signal.SIGTERM, before)  # ray.init replaces it


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keeps Ray from printing to standard output that a node is lost: it has no option for that."""
    try:
        from ray._private import worker
    except ImportError:  # these are its internals
        yield
        return
    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def _start(ray: Any, cpus: int) -> None:
    try:
        _init(ray, "local", num_cpus=cpus, include_dashboard=False, object_store_memory=_STORE)
    except _FAILURES as error:
        reason = reason_in(str(error))
        raise WorkerError(f"Ray does not start on this machine: {reason}: Ray's own logs say more") from error


def _init(ray: Any, address: str, **options: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about files and sockets of its processes
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)


def _expect_answer(address: str) -> None:
    """WorkerError unless a process of its own can connect: an attempt in this one can be neither ended nor silenced."""
    host, _, port = address.rpartition(":")
    try:
        if host:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER / 6).close()
        command = [sys.executable, "-c", _PROBE.format(address)]
        probe = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"no answer within {ANSWER:g} s") from None
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None
    if "InvalidAuthToken" in probe.stderr:
        raise WorkerError(
            f"expected the authentication token of the Ray cluster at `address` {address}, got another one or none: "
            "set RAY_AUTH_MODE=token, with the head node's ~/.ray/auth_token on each node"
        )
    if probe.returncode != 0:
        raise _no_cluster(address, probe.stderr)


def _no_cluster(address: str, text: str) -> WorkerError:
    reason = reason_in(text) or "no answer"
    return WorkerError(f"expected a Ray cluster at `address` {address}, got: {reason}: {_REMEDY}")


def reason_in(text: str) -> str:
    """One line out of Ray's many: from the last one that names an error, as the end of a traceback does, or all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [at for at, line in enumerate(lines) if line.partition(":")[0].endswith("Error")]
    return " ".join(lines[named[-1] if named else 0 :])[:300].rstrip(". ")
