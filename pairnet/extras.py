"""The optional dependencies: which extra installs each package, and the error for one that is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from pairnet.errors import MissingExtraError

EXTRAS = {
    "train": ("torch", "safetensors", "sklearn", "mlxtend", "requests"),
    "report": ("jinja2", "markupsafe", "matplotlib", "scipy"),
    "serve": (
        "fastapi",
        "fastapi_offline",
        "grpc",
        "grpc_health",
        "grpc_reflection",
        "prometheus_client",
        "tritonclient",
        "uvicorn",
    ),
    "ray": ("ray",),
    "heic": ("pillow_heif",),
    "tracing": ("opentelemetry",),
}
"""Top-level modules by the extra of `pyproject.toml` that installs them."""


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """Translates the import of a missing optional package into a MissingExtraError that names `user` and the extra.

    `user` is what needs the package, for example "pairnet train". Any other ModuleNotFoundError passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{user} needs {module}, which is not installed: pip install 'pairnet[{extra}]'", name=module
        ) from error
