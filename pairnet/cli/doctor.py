"""`pairnet doctor`: what this installation and this machine have, and what each missing part needs."""

import platform
from importlib import metadata
from importlib.util import find_spec

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import print_json, print_line
from pairnet.errors import PairnetError
from pairnet.extras import EXTRAS

BASE = ("numpy", "onnx", "msgspec", "PIL", "rich", "typer")
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "grpc": "grpcio", "prometheus_client": "prometheus-client"}
"""Names of distributions that differ from those of their modules."""


Finding = tuple[str, bool, str]
"""A name, whether it is ready, and a version or a description; what to do if it is not ready."""


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what is installed here and what is missing.

    Versions, providers of ONNX Runtime, devices and data sources, and what each missing part needs.
    """
    from pairnet.data.download import cache_folder

    groups = {
        "system": _system(),
        "packages": _packages(),
        "providers of ONNX Runtime": _providers(),
        "devices of torch": _devices(),
        f"data sources (cache: {cache_folder()})": _sources(data_dir),
    }
    if as_json:
        keys = ("group", "name", "ready", "text")
        print_json([dict(zip(keys, (group, *each), strict=True)) for group, found in groups.items() for each in found])
        return
    for group, found in groups.items():
        print_line(group)
        for name, ready, text in found:
            print_line(f"  {'ok' if ready else '--'}  {f'{name:<9} ' if name else ''}{text}")


def _system() -> list[Finding]:
    from pairnet import _core
    from pairnet.host import hardware, revision
    from pairnet.version import __version__

    python = f"{platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    return [
        ("pairnet", True, f"{__version__}, revision {revision()}"),
        ("python", True, python),
        ("cpu", True, hardware()),
        ("simd", True, ", ".join(_core.simd_levels())),
    ]


def _packages() -> list[Finding]:
    found = [_extra("base", BASE, "pip install pairnet")]
    return found + [_extra(extra, modules, f"pip install 'pairnet[{extra}]'") for extra, modules in EXTRAS.items()]


def _extra(name: str, modules: tuple[str, ...], remedy: str) -> Finding:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        return name, False, f"{', '.join(missing)} not installed: {remedy}"
    names = [DISTRIBUTIONS.get(module, module) for module in modules]
    return name, True, ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _providers() -> list[Finding]:
    try:
        import onnxruntime

        from pairnet.artifact.sessions import PROVIDERS, missing
    except ImportError as error:  # also a library that the dynamic linker refuses
        return [("", False, f"onnxruntime cannot be imported: {error}")]
    lacks = {name: missing(provider) for name, provider in PROVIDERS.items()}
    return [(name, not lack, lack or f"onnxruntime {onnxruntime.__version__}") for name, lack in lacks.items()]


def _devices() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [("", False, f"{error}: pip install 'pairnet[train]'")]
    cpu = ("cpu", True, f"torch {torch.__version__}")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return [cpu, ("cuda", True, ", ".join(names))]
    lack = "no NVIDIA GPU or driver that it can use" if torch.version.cuda else "this torch was built without CUDA"
    return [cpu, ("cuda", False, lack)]


def _sources(data_dir: DataDir) -> list[Finding]:
    from pairnet.data.sources import available

    try:
        sources = available(data_dir=data_dir)
    except PairnetError as error:
        return [("", False, str(error))]
    named = ("mnist", "mnist5k")  # the others are always ready
    return [(each.name, each.state == "ready", each.where) for each in sources if each.name in named]
