"""`pairnet doctor`: what this installation and this machine have, and what each missing part needs."""

import platform
from collections.abc import Callable
from functools import partial
from importlib import metadata
from importlib.util import find_spec

from pairnet.cli.common import DataDir, Json, interrupted
from pairnet.cli.output import print_json, print_wrapped
from pairnet.errors import InstallationError, PairnetError, one_line
from pairnet.extras import EXTRAS

BASE = ("numpy", "onnx", "msgspec", "PIL", "rich", "typer")
DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
}
"""Names of distributions that differ from those of their modules."""


Finding = tuple[str, bool, str]
"""A name, whether it is ready, and a version or a description; what to do if it is not ready."""


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what is installed here and what is missing.

    Versions, providers of ONNX Runtime, devices and data sources, and what each missing part needs.
    """
    groups = {
        "system": [
            *_found("pairnet", _pairnet),
            *_found("python", _python),
            *_found("cpu", _cpu),
            *_found("simd", _simd),
        ],
        "packages": [
            *_found("base", partial(_extra, "base", BASE, "pip install pairnet")),
            *(
                finding
                for extra, modules in EXTRAS.items()
                for finding in _found(extra, partial(_extra, extra, modules, f"pip install 'pairnet[{extra}]'"))
            ),
        ],
        "providers of ONNX Runtime": _found("", _providers),
        "devices of torch": _found("", _devices),
        f"data sources (cache: {_cache()})": _found("", partial(_sources, data_dir)),
    }
    if as_json:
        keys = ("group", "name", "ready", "text")
        print_json([dict(zip(keys, (group, *each), strict=True)) for group, found in groups.items() for each in found])
        return
    for group, found in groups.items():
        print_wrapped(group, indent=2)
        for name, ready, text in found:
            print_wrapped(f"  {'ok' if ready else '--'}  {f'{name:<9} ' if name else ''}{text}", indent=6)


def _found(name: str, probe: Callable[[], list[Finding]]) -> list[Finding]:
    """What `probe` finds. Whatever it fails with is a finding too, and the other probes do not suffer from it.

    KeyboardInterrupt, also if a package that was being imported turned it into a failure: that is no finding.
    """
    try:
        found = probe()
    except InstallationError as error:  # says what to do
        found = [(name, False, str(error))]
    except (Exception, SystemExit) as error:
        found = [(name, False, f"unknown, {type(error).__name__}: {one_line(error)}")]
    if interrupted():
        raise KeyboardInterrupt
    return found


def _pairnet() -> list[Finding]:
    from pairnet.host import revision
    from pairnet.version import __version__

    return [("pairnet", True, f"{__version__}, revision {revision()}")]


def _python() -> list[Finding]:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return [("python", True, f"{platform.python_version()}, {system}")]


def _cpu() -> list[Finding]:
    from pairnet.host import allowed_cores, cpu_quota, hardware

    quota = cpu_quota()
    limit = "" if quota is None else f": a quota grants {quota:g} of {allowed_cores()}"
    return [("cpu", True, f"{hardware()}{limit}")]


def _simd() -> list[Finding]:
    from pairnet import _core

    return [("simd", True, ", ".join(_core.simd_levels()))]


def _cache() -> str:
    try:
        from pairnet.data.download import cache_folder

        return str(cache_folder())
    except (Exception, SystemExit) as error:
        return f"unknown, {one_line(error)}"


def _extra(name: str, modules: tuple[str, ...], remedy: str) -> list[Finding]:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        return [(name, False, f"{', '.join(missing)} not installed: {remedy}")]
    distributions = [DISTRIBUTIONS.get(module, module) for module in modules]
    damaged = [each for each in distributions if not _version(each)]
    if damaged:
        return [(name, False, f"{', '.join(damaged)} damaged: pip install --force-reinstall {' '.join(damaged)}")]
    return [(name, True, ", ".join(f"{each} {_version(each)}" for each in distributions))]


def _version(distribution: str) -> str:
    """Its version; empty if the files that say so are missing or damaged."""
    try:
        return str(metadata.version(distribution) or "")
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def _providers() -> list[Finding]:
    from pairnet.artifact.runtime import ort
    from pairnet.artifact.sessions import PROVIDERS

    return [finding for name in PROVIDERS for finding in _found(name, partial(_provider, name, ort.__version__))]


def _provider(name: str, version: str) -> list[Finding]:
    from pairnet.artifact.sessions import PROVIDERS, missing

    lack = missing(PROVIDERS[name])
    return [(name, not lack, lack or f"onnxruntime {version}")]


def _devices() -> list[Finding]:
    try:
        import torch
    except ModuleNotFoundError as error:
        return [("", False, f"{error}: pip install 'pairnet[train]'")]
    return [("cpu", True, f"torch {torch.__version__}"), *_found("cuda", _cuda)]


def _cuda() -> list[Finding]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return [("cuda", True, ", ".join(names))]
    lack = "no NVIDIA GPU or driver that it can use" if torch.version.cuda else "this torch was built without CUDA"
    return [("cuda", False, lack)]


def _sources(data_dir: DataDir) -> list[Finding]:
    from pairnet.data.sources import available

    try:
        sources = available(data_dir=data_dir)
    except PairnetError as error:
        return [("", False, str(error))]
    named = ("mnist", "mnist5k")  # the others are always ready
    return [(each.name, each.state == "ready", each.where) for each in sources if each.name in named]
