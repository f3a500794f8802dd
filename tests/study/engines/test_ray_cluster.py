"""The engine for Ray, on a cluster of small nodes in this machine: the results of processes, whatever is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from workers import all_end, descendants_of, is_running, wait_for_lines

from pairnet.errors import ArgumentError, WorkerError
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.records.store import read_records
from pairnet.study.engines import ray_cluster, ray_connection
from pairnet.study.engines.processes import Processes
from pairnet.study.events import Failed, Finished, Started

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc"),
    # what Ray leaves to the garbage collector: files and sockets of the processes that it started
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]

CONV_1 = find_variant("conv_1")


@pytest.fixture(scope="module")
def cluster():
    """A cluster with one node of one CPU."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    found.shutdown()


@pytest.fixture
def second_node(cluster):
    """Another node of one CPU."""
    node = cluster.add_node(num_cpus=1)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def engine(cluster, glyph_set):
    return ray_cluster.RayCluster(dataset=glyph_set, address=cluster.address)


def runs_of(dataset, count, *, epochs=1, **recipe):
    variant = replace(CONV_1, recipe=replace(CONV_1.recipe, epochs=epochs, **recipe))
    return [Run(variant=variant, images=dataset.images, pairs=60, seed=seed) for seed in range(count)]


def result(record):
    return replace(record, seconds=0.0, environment=replace(record.environment, engine=""))


def results(events):
    return {event.run.seed: result(event.record) for event in events if isinstance(event, Finished)}


def workers(doing=""):
    """Process numbers of the engine's workers on the nodes that this process has started."""
    found = []
    for pid in descendants_of(os.getpid()):
        with suppress(OSError):  # it has ended
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"ray::RayWorker{doing}".encode()):
                found.append(pid)
    return list(filter(is_running, found))


def kill_workers(over):
    """Kills each worker as soon as it computes, until the event `over` is set."""
    while not over.wait(0.05):
        for pid in workers(doing=".compute"):
            with suppress(ProcessLookupError):  # the one before, which has just ended
                os.kill(pid, signal.SIGKILL)


def test_records_are_those_of_processes_and_a_run_that_fails_is_a_result(engine, second_node, glyph_set):
    jobs = runs_of(glyph_set, 4)
    (bad,) = runs_of(glyph_set, 1, learning_rate=1e30)
    events = list(engine.run([bad, *jobs]))
    assert not ray.is_initialized()
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.run for event in failed] == [bad]
    assert "expected a finite loss, got nan" in failed[0].reason
    assert (failed[0].kind, failed[0].epoch) == ("diverged", 1)
    assert [event.run for event in events if isinstance(event, Started)] == [bad, *jobs]
    assert results(events) == results(Processes(dataset=glyph_set, workers=1).run(jobs))
    (place,) = {event.record.environment.node for event in events if isinstance(event, Finished)}
    assert place == os.uname().nodename
    assert {event.record.environment.engine for event in events if isinstance(event, Finished)} == {"ray"}


def test_a_node_that_is_lost_costs_no_run_and_repeats_none(engine, cluster, second_node, glyph_set, capfd):
    jobs = runs_of(glyph_set, 10, epochs=20)
    events, started = [], 0
    for event in engine.run(jobs):
        events.append(event)
        started += isinstance(event, Started)
        if started == 4 and second_node in cluster.worker_nodes:
            cluster.remove_node(second_node, allow_graceful=False)
    found = [event.run.seed for event in events if isinstance(event, Finished)]
    assert sorted(found) == list(range(10))
    assert started == 10
    assert capfd.readouterr() == ("", "")  # the command line prints a table, or JSON
    assert results(events) == results(Processes(dataset=glyph_set, workers=1).run(jobs))


def test_a_run_that_is_lost_with_each_worker_ends_the_study_with_one_line(engine, glyph_set):
    over = Event()
    killer = Thread(target=kill_workers, args=[over])
    killer.start()
    lost = r"4 workers on the Ray cluster were lost while they computed conv_1, .*kept"
    try:
        with pytest.raises(WorkerError, match=lost):
            list(engine.run(runs_of(glyph_set, 1, epochs=10_000)))
    finally:
        over.set()
        killer.join()


def test_closing_the_events_ends_the_workers_and_leaves_the_cluster(engine, cluster, glyph_set):
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        events = engine.run(runs_of(glyph_set, 2, epochs=10_000))
        assert isinstance(next(events), Started)
        assert workers()
        events.close()
        deadline = time.monotonic() + 60
        while workers() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert workers() == []
        while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
        with pytest.raises(ArgumentError, match=r"to which this process is connected, got 127\.0"):
            next(replace(engine, address="127.0.0.1:1").run(runs_of(glyph_set, 1)))
    finally:
        ray.shutdown()


def test_a_node_with_other_versions_is_refused(engine, glyph_set, monkeypatch):
    monkeypatch.setattr(ray_cluster, "versions", lambda: {"python": sys.version.split()[0], "torch": "1.0"})
    with pytest.raises(WorkerError, match=r"got torch 1.0 on .* and 2\..* on .*: install the same one on both"):
        list(engine.run(runs_of(glyph_set, 1)))


def test_a_bug_in_a_worker_is_reported_with_its_traceback(engine, glyph_set, monkeypatch):
    monkeypatch.setattr(ray_cluster, "check_images", lambda run, dataset: None)  # of the driver; the worker has its own
    with pytest.raises(RuntimeError, match=r"(?s)conv_1 failed:.*check_images"):
        list(engine.run([replace(run, pairs=500_000) for run in runs_of(glyph_set, 1)]))


@pytest.mark.parametrize("address", ["here", "ray://127.0.0.1:10001", "host:0", ":6379"])
def test_an_address_of_another_form_is_refused(glyph_set, address):
    with pytest.raises(ArgumentError, match=f'auto or HOST:PORT of a Ray cluster, got "{address}"'):
        ray_cluster.RayCluster(dataset=glyph_set, address=address)


def test_no_workers_are_refused(glyph_set):
    with pytest.raises(ArgumentError, match="`workers` of at least 1, got 0"):
        ray_cluster.RayCluster(dataset=glyph_set, workers=0)


def test_no_jobs_need_no_ray(glyph_set):
    assert list(ray_cluster.RayCluster(dataset=glyph_set).run([])) == []


def test_an_address_that_does_not_answer_is_named_in_time(glyph_set, monkeypatch):
    monkeypatch.setattr(ray_connection, "ANSWER", 6)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts, and says nothing
        address = f"127.0.0.1:{server.getsockname()[1]}"
        events = ray_cluster.RayCluster(dataset=glyph_set, address=address).run(runs_of(glyph_set, 1))
        with pytest.raises(WorkerError, match=f"at `address` {address}, got: no answer within 6 s: start one with"):
            next(events)
    events = ray_cluster.RayCluster(dataset=glyph_set, address=address).run(runs_of(glyph_set, 1))
    with pytest.raises(WorkerError, match=r"got: Connection refused: start one with"):
        next(events)


def is_agent(pid):
    """Whether it is one of the helpers of a node, which look once a minute whether the node is still there."""
    return b"Agent" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_driver_that_is_stopped_leaves_no_process_and_resumes(tmp_path, sent):
    command = [
        *(sys.executable, "-m", "pairnet", "reproduce", "--table", "1", "--draws", "2", "--epochs", "3"),
        *("--pairs", "100", "--data", "glyphs:400", "--runs", str(tmp_path), "--no-report", "--json"),
    ]
    driver = subprocess.Popen(
        [*command, "--engine", "ray", "--jobs", "2"],
        env={**os.environ, "HOME": str(tmp_path / "home")},  # Ray writes a token there
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(driver, tmp_path / "records.jsonl", 2)
    children = [pid for pid in descendants_of(driver.pid) if sent != signal.SIGKILL or not is_agent(pid)]
    driver.send_signal(sent)
    _, errors = driver.communicate(timeout=300)
    assert len(children) >= 4
    assert all_end(children)
    before = read_records(tmp_path)
    assert 2 <= len(before) < 14
    if sent == signal.SIGINT:
        assert driver.returncode == 130
        assert errors.splitlines()[-1] == "pairnet: stopping; finished runs are kept, the same command goes on"
        assert "Traceback" not in errors
        assert "ray" not in errors.replace("by Ray", "")
        return
    subprocess.run([*command, "--jobs", "2"], capture_output=True, timeout=600, check=True)
    after = read_records(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len({record.fingerprint for record in after}) == 14
    assert {record.environment.engine for record in after} == {"ray", "processes"}
