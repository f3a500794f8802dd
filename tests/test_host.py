"""What a process may use: cores, by affinity and by the quotas of control groups; and a user without a home folder."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairnet import _core, host

V1 = "{number} 31 0:29 {mounted} {point} rw,relatime - cgroup cgroup rw,{controllers}"
V2 = "{number} 31 0:38 {mounted} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
QUOTAS = st.none() | st.integers(1000, 800_000)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def limit(folder, quota, version):
    """Writes the quota of a group, in microseconds of every 100,000."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        write(folder / "cpu.max", f"{quota or 'max'} 100000")
    else:
        write(folder / "cpu.cfs_quota_us", quota or -1)
        write(folder / "cpu.cfs_period_us", 100_000)


def tree(root, version, quotas, *, mounted="/", group=None):
    """A fake machine: groups inside one another with these quotas, of which the process is in the innermost."""
    names = [f"g{number}" for number in range(len(quotas) - 1)]
    inside = "/" + "/".join(names)
    point = "/sys/fs/cgroup" if version == 2 else "/sys/fs/cgroup/cpu,cpuacct"
    for depth, quota in enumerate(quotas):
        limit(root.joinpath(point[1:], *names[:depth]), quota, version)
    own = group if group is not None else str(PurePosixPath(mounted) / inside[1:])
    others = f"12:cpuset:{own}\n7:memory:/elsewhere\n"
    write(root / "proc/self/cgroup", f"0::{own}" if version == 2 else f"{others}4:cpu,cpuacct:{own}\n0::/unlimited")
    lines = [V1.format(number=33, mounted=mounted, point="/sys/fs/cgroup/cpuset", controllers="cpuset")]
    form = V2 if version == 2 else V1
    lines += [form.format(number=34, mounted=mounted, point=point, controllers="cpu,cpuacct")]
    write(root / "proc/self/mountinfo", "\n".join(["22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", *lines]))
    return root


def cores_with(quota, allowed, monkeypatch):
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    monkeypatch.setattr(host, "allowed_cores", lambda: allowed)
    return host.cores()


@pytest.mark.parametrize("version", [1, 2])
@settings(max_examples=50)
@given(quotas=st.lists(QUOTAS, min_size=1, max_size=5))
def test_the_least_quota_of_nested_groups_counts(tmp_path_factory, version, quotas):
    found = host.cpu_quota(tree(tmp_path_factory.mktemp("root"), version, quotas))
    expected = min((quota for quota in quotas if quota is not None), default=None)
    assert found == (None if expected is None else expected / 100_000)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("mounted", "group"),
    [
        ("/docker/0123", None),  # without a name space: the group's full path, and its part of the tree
        ("/docker/0123", "/elsewhere"),
        ("/", "/../../outside"),  # a group outside of the name space
        ("/", "/not/visible/here"),
    ],
)
def test_the_group_of_a_container(tmp_path, version, mounted, group):
    assert host.cpu_quota(tree(tmp_path, version, [150_000], mounted=mounted, group=group)) == 1.5


@pytest.mark.parametrize("point", ["/sys/fs/cgroup/my groups", "/elsewhere"])
def test_where_the_groups_are_mounted(tmp_path, point):
    write(tmp_path / "proc/self/cgroup", "0::/")
    write(tmp_path / "proc/self/mountinfo", V2.format(number=1, mounted="/", point=point.replace(" ", "\\040")))
    limit(tmp_path / point[1:], 50_000, 2)
    assert host.cpu_quota(tmp_path) == 0.5


def test_no_groups_no_proc_no_quota(tmp_path):
    assert host.cpu_quota(tmp_path) is None


@settings(max_examples=30)
@given(st.text(), st.text(), st.text())
def test_anything_else_is_no_quota(tmp_path_factory, groups, mounts, quota):
    root = tmp_path_factory.mktemp("root")
    for name, text in (("cgroup", groups), ("mountinfo", mounts)):
        (root / "proc/self").mkdir(parents=True, exist_ok=True)
        (root / "proc/self" / name).write_bytes(text.encode(errors="surrogatepass"))
    assert host.cpu_quota(root) is None
    root = tree(tmp_path_factory.mktemp("root"), 2, [None])
    (root / "sys/fs/cgroup/cpu.max").write_bytes(quota.encode(errors="surrogatepass"))
    assert host.cpu_quota(root) is None or all(part.isdecimal() for part in quota.split(" "))


@given(allowed=st.integers(1, 256), quota=st.none() | st.floats(0.01, 1000))
def test_cores_are_those_of_the_affinity_at_most_the_quota_rounded_up(allowed, quota):
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = cores_with(quota, allowed, monkeypatch)
    assert 1 <= found <= allowed
    assert found == (allowed if quota is None else min(allowed, math.ceil(quota)))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_cores_follow_the_affinity():
    first = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{first}]); from pairnet.host import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


@pytest.mark.parametrize(("counted", "found"), [(7, 7), (None, 1)])
def test_where_nobody_knows_the_affinity_all_cores_count(monkeypatch, counted, found):
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert host.allowed_cores() == found


def test_a_machine_that_names_no_model_is_called_by_its_kind(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "CPU_INFO", tmp_path / "none")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert host.hardware.__wrapped__() == f"riscv64, {host.cores()} cores"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_revision_is_that_of_the_checkout_and_of_no_repository_around_the_package(monkeypatch, tmp_path):
    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    monkeypatch.setattr(host, "CHECKOUT", tmp_path)
    assert host.revision.__wrapped__() == _core.revision
    (tmp_path / "csrc").mkdir()
    assert host.revision.__wrapped__() == git("rev-parse", "--short=12", "HEAD")


def test_the_checkout_is_the_folder_of_the_package():
    assert (host.CHECKOUT / "pairnet" / "host.py").samefile(host.__file__)


def test_who_counts_cores_asks_here(monkeypatch):
    """Predictor, loader, engine and server take their numbers of threads from the quota."""
    from pairnet.serving import predictor
    from pairnet.serving.built_in import built_in_model
    from pairnet.serving.server.registry import open_models

    monkeypatch.setattr(predictor, "cores", lambda: 3)
    with predictor.Predictor(built_in_model(), provider="cpu") as opened:
        assert opened._threads == 3
    for threads, expected in ((None, 3), (2, 2)):  # of `pairnet serve`, `--threads 2`
        with open_models([built_in_model()], provider="cpu", threads=threads) as models:
            assert models["order_net_xs"].predictor._threads == expected
    package = Path(host.__file__).parent
    counting = ("cpu_count", "sched_getaffinity")
    others = [path for path in package.rglob("*.py") if any(name in path.read_text() for name in counting)]
    assert others == [package / "host.py"]


@pytest.mark.parametrize("version", [1, 2])
def test_half_a_cpu_is_one_thread_of_the_server(tmp_path, monkeypatch, version):
    """The control groups of a container, faked: `pairnet serve` on a machine with two cores gets half of one."""
    from pairnet.serving.built_in import built_in_model
    from pairnet.serving.server.registry import open_models

    found = host.cpu_quota(tree(tmp_path, version, [None, 50_000]))
    assert found == 0.5
    assert cores_with(found, 2, monkeypatch) == 1
    with open_models([built_in_model()], provider="cpu") as models:
        assert models["order_net_xs"].predictor._threads == 1


def test_half_a_cpu_in_a_control_group_that_is_made():
    """The same with a real one, where the user may make it."""
    from bench.placement import control_group

    code = (
        "from pairnet import host; from pairnet.serving.predictor import Predictor; "
        "from pairnet.serving.built_in import built_in_model; "
        "print(host.cpu_quota(), Predictor(built_in_model(), provider='cpu')._threads)"
    )
    try:
        with control_group(0.5) as before:
            done = subprocess.run([*before, sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    except OSError as error:
        pytest.skip(str(error))
    assert done.stdout == "0.5 1\n", done.stderr


@pytest.mark.parametrize(("quota", "own", "expected"), [(1.0, None, "1"), (1.0, "5", "5"), (None, None, None)])
def test_libraries_that_count_by_themselves_get_the_quota(monkeypatch, quota, own, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    assert cores_with(quota, 4, monkeypatch) == (quota or 4)
    host.apply_quota()
    assert os.environ.get("OMP_NUM_THREADS") == expected


NOBODY = """
import os, sys
os.environ.pop("HOME", None)
for name in [name for name in os.environ if name.startswith("XDG_") or name == "PAIRNET_CACHE"]:
    del os.environ[name]
import pwd
def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = unknown
"""
"""Run first: a user without HOME and without an entry in the table of users, as of `docker run --user 54321`."""


@pytest.mark.parametrize(
    "arguments",
    [["doctor"], ["data", "list"], ["variants", "--draw", "w_net"]],
    ids=" ".join,
)
def test_a_user_without_a_home_folder(tmp_path, arguments):
    code = f"{NOBODY}from pairnet.__main__ import _run\n_run({arguments})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "unexpected" in done.stderr) == (0, False), done.stderr


def test_the_library_without_a_home_folder(tmp_path):
    code = f"{NOBODY}import pairnet\nprint(pairnet.load_dataset().name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "mnist5k\n"), done.stderr
