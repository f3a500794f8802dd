"""`pairnet doctor`: what this installation and this machine have, and what each missing part needs."""

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import print_json, print_line
from pairnet.errors import PairnetError
from pairnet.extras import EXTRAS

BASE = ("numpy", "onnx", "msgspec", "PIL", "rich", "typer")
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "grpc": "grpcio", "prometheus_client": "prometheus-client"}
"""Names of distributions that differ from those of their modules."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    group: str
    name: str
    ready: bool
    text: str  # a version or a description; what to do if it is not ready


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what is installed here and what is missing.

    Versions, providers of ONNX Runtime, devices and data sources, and what each missing part needs.
    """
    findings = [*_system(), *_packages(), *_providers(), *_devices(), *_sources(data_dir)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            print_line(group)
        name = f"{finding.name:<9} " if finding.name else ""
        print_line(f"  {'ok' if finding.ready else '--'}  {name}{finding.text}")


def _system() -> list[Finding]:
    from pairnet import _core
    from pairnet.host import hardware, revision
    from pairnet.version import __version__

    lines = {
        "pairnet": f"{__version__}, revision {revision()}",
        "python": f"{platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}",
        "cpu": hardware(),
        "simd": ", ".join(_core.simd_levels()),
    }
    return [Finding(group="system", name=name, ready=True, text=text) for name, text in lines.items()]


def _packages() -> list[Finding]:
    found = [_extra("base", BASE, "pip install pairnet")]
    return found + [_extra(extra, modules, f"pip install 'pairnet[{extra}]'") for extra, modules in EXTRAS.items()]


def _extra(name: str, modules: tuple[str, ...], remedy: str) -> Finding:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        text = f"{', '.join(missing)} not installed: {remedy}"
    else:
        names = [DISTRIBUTIONS.get(module, module) for module in modules]
        text = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return Finding(group="packages", name=name, ready=not missing, text=text)


def _providers() -> list[Finding]:
    group = "providers of ONNX Runtime"
    try:
        import onnxruntime

        from pairnet.artifact.sessions import PROVIDERS, missing
    except ImportError as error:  # also a library that the dynamic linker refuses
        return [Finding(group=group, name="", ready=False, text=f"onnxruntime cannot be imported: {error}")]
    lacks = {name: missing(provider) for name, provider in PROVIDERS.items()}
    version = f"onnxruntime {onnxruntime.__version__}"
    return [Finding(group=group, name=name, ready=not text, text=text or version) for name, text in lacks.items()]


def _devices() -> list[Finding]:
    group = "devices of torch"
    try:
        import torch
    except ImportError as error:
        return [Finding(group=group, name="", ready=False, text=f"{error}: pip install 'pairnet[train]'")]
    found = [Finding(group=group, name="cpu", ready=True, text=f"torch {torch.__version__}")]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return [*found, Finding(group=group, name="cuda", ready=True, text=", ".join(names))]
    build = torch.version.cuda
    lack = "no NVIDIA GPU or driver that it can use" if build else "this torch was built without CUDA"
    return [*found, Finding(group=group, name="cuda", ready=False, text=lack)]


def _sources(data_dir: DataDir) -> list[Finding]:
    from pairnet.data.download import cache_folder
    from pairnet.data.sources import available

    group = f"data sources (cache: {cache_folder()})"
    try:
        sources = available(data_dir=data_dir)
    except PairnetError as error:
        return [Finding(group=group, name="", ready=False, text=str(error))]
    return [
        Finding(group=group, name=source.name, ready=source.state == "ready", text=source.where)
        for source in sources
        if source.name in ("mnist", "mnist5k")  # the others are always ready
    ]
