"""`pairnet serve`: exported files as a service, over REST and gRPC, with a page to draw on."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairnet.cli.output import note, printable, unfailing_stderr

if TYPE_CHECKING:
    from pairnet.serving.server.registry import Registry
    from pairnet.serving.server.running import Addresses


def serve(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE.onnx]...",
            help="Files that `pairnet export` wrote, each a model of its own.",
            show_default="the built-in model",
        ),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of models, as of `export-repository`: DIR/NAME/VERSION/model.onnx."),
    ] = None,
    control: Annotated[
        bool,
        typer.Option("--control", help="Let clients on this machine load and unload models of --models."),
    ] = False,
    control_anywhere: Annotated[
        bool, typer.Option("--control-anywhere", help="The same for all clients that reach the server.")
    ] = False,
    memory: Annotated[int, typer.Option(min=1, help="MiB for all models: 16 for each, and 8 times its file.")] = 1024,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for REST and the page; 0 for any.")] = 8080,
    grpc_port: Annotated[int, typer.Option(help="Port for gRPC; 0 for any.")] = 8081,
    provider: Annotated[
        str, typer.Option(help="auto, cpu, cuda, tensorrt or the full name of another provider.")
    ] = "auto",
    max_batch: Annotated[int, typer.Option(help="Pairs of several requests computed at once, 1 to 32768.")] = 64,
    max_wait: Annotated[
        float | None,
        typer.Option(
            help="Milliseconds, 0 to 10000, that a request waits for others while its model is free.",
            show_default="adapts: at most 1, if several clients are active",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads, 1 to 1024, that compute the requests of a model on a CPU.",
            show_default="the cores that this process may use",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name under which clients may ask, besides localhost; may be repeated.",
            show_default="any, if --host is not this machine",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin whose pages may read answers, such as https://example.org, or *; may be repeated.",
            show_default="none",
        ),
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Print a line of JSON for each request on standard error.")
    ] = False,
    tracing: Annotated[
        bool,
        typer.Option("--tracing", help="Send spans to OTEL_EXPORTER_OTLP_ENDPOINT; needs pairnet[tracing]."),
    ] = False,
) -> None:
    """Serve exported files over HTTP and gRPC.

    Speaks the Open Inference Protocol, version 2, so any of its clients can be used; docs/serving.md shows some. Needs
    no torch. Draw two digits at the printed address. Ctrl-C, SIGTERM or SIGHUP stops it after the requests that are on
    their way are answered. There is no encryption and no authentication: a proxy adds them.
    """
    with unfailing_stderr():
        with suppress(KeyboardInterrupt), _signals_interrupt():
            from pairnet.serving.built_in import built_in_model
            from pairnet.serving.server.running import serve as run

            run(
                files or ([] if models else [built_in_model()]),
                folder=models,
                control="anywhere" if control_anywhere else "loopback" if control else "",
                memory=memory,
                host=host,
                port=port,
                grpc_port=grpc_port,
                provider=provider,
                max_batch=max_batch,
                max_wait=None if max_wait is None else max_wait / 1000,
                threads=threads,
                allowed_hosts=allowed_host or (),
                cors_origins=cors_origin or (),
                log=sys.stderr,
                access_log=access_log,
                tracing=tracing,
                on_ready=partial(_announce, built_in=not files and models is None, host=host),
            )
        note("stopped")


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP act like Ctrl-C while modules and models are loaded; later the server handles them."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.getsignal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(models: "Registry", addresses: "Addresses", *, built_in: bool, host: str) -> None:
    if built_in:
        note("no file is named: serving the built-in model")
    from pairnet.artifact.metadata import TRAINED_HERE
    from pairnet.serving.joint import VERSION

    for model in models.all_versions():
        name = model.name if models.versions(model.name) == [VERSION] else f"{model.name}, version {model.version}"
        about = model.predictor.metadata
        variant = "" if about.variant == model.name else f"{about.variant}, "
        trained = f"trained on {about.pairs:,} pairs of {about.data}" if about.origin == TRAINED_HERE else about.origin
        note(f"{name}: {variant}{trained}, test accuracy {about.test_accuracy:.4f}, {model.predictor.provider}")
    for entry in models.index():
        if entry["state"] != "READY":
            note(f"{printable(entry['name'])}: not served: {entry['reason']}")
    if host in ("0.0.0.0", "::"):
        note(f"listens on {host}: all addresses of this machine")
    note(f"draw at   http://{addresses.rest}/")
    note(f"REST      http://{addresses.rest}/v2   (documentation: http://{addresses.rest}/docs)")
    note(f"gRPC      {addresses.grpc}")
    note("Ctrl-C stops the server")
