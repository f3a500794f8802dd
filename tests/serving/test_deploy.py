"""The files for containers and their platforms: read by the platforms' own readers, and named after what there is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from running_server import running_server

from pairnet.errors import ArgumentError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.repository import write_repository
from pairnet.serving.server.running import LONGEST_STOP

pytest_plugins = ("trained_runs",)

NAMES = re.compile(r"\b(?:pairnet|process)_[a-z_]+")
WITH_KSERVE = os.environ.get("PAIRNET_KSERVE")
PROMTOOL = shutil.which("promtool")

HERE = '{job="j", instance="i"}'
WARNING, CRITICAL = {"severity": "warning"}, {"severity": "critical"}
MODEL = 'job="j", instance="i", model="m"'
ALERTS = {  # what makes each alert fire, besides a server that is well (None: without this series), and its labels
    "PairnetAbsent": ({"pairnet_held_bytes": None}, CRITICAL),
    "PairnetDown": ({"up": "1x20 0x40", "pairnet_held_bytes": "0x20 stale"}, CRITICAL | {"instance": "i"}),
    "PairnetRestarts": ({"process_start_time_seconds": "0+100x60"}, CRITICAL | {"instance": "i"}),
    "PairnetFails": ({f'pairnet_errors_total{{{MODEL}, kind="failed"}}': "_x27 1x30"}, CRITICAL | {"model": "m"}),
    "PairnetModelMissing": (
        {f'pairnet_model_loaded{{{MODEL}, version="1", digest=""}}': "0x60"},
        CRITICAL | {"model": "m", "instance": "i"},
    ),
    "PairnetVersionRefused": (
        {
            f'pairnet_model_loaded{{{MODEL}, version="1", digest="a"}}': "1x60",
            f'pairnet_model_loaded{{{MODEL}, version="2", digest=""}}': "0x60",
        },
        WARNING | {"model": "m", "version": "2", "instance": "i"},
    ),
    "PairnetLoadRefused": (
        {f'pairnet_loads_total{{{MODEL}, result="invalid"}}': "_x20 1x40"},
        WARNING | {"model": "m", "result": "invalid"},
    ),
    "PairnetReplicasDiffer": (
        {
            f'pairnet_model_loaded{{{MODEL}, version="1", digest="a"}}': "1x60",
            'pairnet_model_loaded{job="j", instance="other", model="m", version="1", digest="a"}': "1x60",
            f'pairnet_model_loaded{{{MODEL}, version="2", digest="b"}}': "1x60",
        },
        WARNING | {"model": "m", "version": "2", "digest": "b"},
    ),
    "PairnetBusy": ({f'pairnet_errors_total{{{MODEL}, kind="busy"}}': "0+9x60"}, WARNING | {"job": "j"}),
    "PairnetSlow": (
        {
            f'pairnet_latency_seconds_bucket{{{MODEL}, le="2.0"}}': "0x60",
            f'pairnet_latency_seconds_bucket{{{MODEL}, le="5.0"}}': "0+9x60",
            f'pairnet_latency_seconds_bucket{{{MODEL}, le="+Inf"}}': "0+9x60",
        },
        WARNING | {"model": "m"},
    ),
    "PairnetQueue": ({f"pairnet_queue_pairs{{{MODEL}}}": "5000x60"}, WARNING | {"model": "m", "instance": "i"}),
    "PairnetHeld": ({"pairnet_held_bytes": "2e8x60"}, WARNING | {"instance": "i"}),
    "PairnetMemory": ({"process_resident_memory_bytes": "9e8x60"}, WARNING | {"instance": "i"}),
    "PairnetLogLost": ({"pairnet_log_lines_dropped_total": "0x25 5x40"}, WARNING | {"instance": "i"}),
}
QUIET = {  # a server that is well: no alert fires
    f'pairnet_model_loaded{{{MODEL}, version="1", digest="a"}}': "1x60",
    'pairnet_model_loaded{job="j", instance="other", model="m", version="1", digest="a"}': "1x60",
    f'pairnet_loads_total{{{MODEL}, result="ok"}}': "0+1x60",
    f'pairnet_loads_total{{{MODEL}, result="invalid"}}': "1x60",  # earlier
    f'pairnet_errors_total{{{MODEL}, kind="failed"}}': "1x60",
    "process_start_time_seconds": "1x60",
    "process_resident_memory_bytes": "1e8x60",
    "pairnet_log_lines_dropped_total": "5x60",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deploy") / "repository"
    write_repository([built_in_model()], folder)
    return folder


@pytest.fixture(scope="module")
def metrics():
    """What a server with an answered and a refused request says at /metrics."""
    with running_server() as server:
        pair = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
        for inputs in ([pair], []):
            body = json.dumps({"inputs": inputs}).encode()
            asked = urllib.request.Request(
                f"http://{server.rest}/v2/models/order_net_xs/infer", body, {"Content-Type": "application/json"}
            )
            try:
                urllib.request.urlopen(asked).close()
            except urllib.error.HTTPError as error:
                error.close()
        with urllib.request.urlopen(f"http://{server.rest}/metrics") as answer:
            return answer.read().decode()


def containers(manifest):
    """The pod specification of a manifest, and its container."""
    spec = manifest["spec"]
    pod = spec["template"]["spec"] if "template" in spec else spec["predictor"]
    return pod, pod["containers"][0]


def documents(repository, name):
    return list(yaml.safe_load_all((repository / name).read_text()))


def manifests(repository):
    deployment, service, *_ = documents(repository, "kubernetes.yaml")
    return deployment, service, *documents(repository, "kserve-pairnet.yaml")


DEPLOYED = ["Deployment", "Service", "Service", "PodDisruptionBudget"]
KINDS = {
    "kubernetes.yaml": DEPLOYED,
    "kubernetes-models.yaml": DEPLOYED,
    "kubernetes-volume.yaml": ["PersistentVolumeClaim", "Pod"],
    "networkpolicy.yaml": ["NetworkPolicy"],
}


@pytest.mark.parametrize("name", KINDS)
def test_kubernetes_takes_the_manifests(repository, name):
    validate = pytest.importorskip("kubernetes_validate").validate
    text = (repository / name).read_text()
    http = "httpGet: {path: /v2/health/ready, port: 8080}"
    assert text.count(http) == KINDS[name].count("Deployment")
    for form in {text, text.replace(http, "grpc: {port: 8081}")}:
        found = list(yaml.safe_load_all(form))
        assert [document["kind"] for document in found] == KINDS[name]
        for document in found:
            validate(document, "1.34", strict=True)
    assert max(map(len, text.splitlines())) <= 130


def test_kubernetes_would_refuse_another_field(repository):
    checks = pytest.importorskip("kubernetes_validate")
    deployment, _, _ = manifests(repository)
    containers(deployment)[1]["readinesProbe"] = {}
    with pytest.raises(checks.ValidationError):
        checks.validate(deployment, "1.34", strict=True)


@pytest.mark.skipif(WITH_KSERVE is None, reason="needs PAIRNET_KSERVE, a Python with the package kserve, 450 MB")
@pytest.mark.parametrize("name", ["kserve.yaml", "kserve-pairnet.yaml"])
def test_kserve_s_models_take_the_manifests(repository, name):
    """In an environment of its own: kserve wants other versions of packages than pairnet is tested with."""
    done = subprocess.run([WITH_KSERVE, "-c", KSERVE, repository / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


KSERVE = """
import re, sys, yaml, kserve, kubernetes.client.models

def check(value, kind, where):
    if kind in ("str", "bool"):
        assert isinstance(value, {"str": str, "bool": bool}[kind]), (where, value)
    elif kind == "int":
        assert isinstance(value, int) and not isinstance(value, bool), (where, value)
    elif found := re.fullmatch(r"[Ll]ist[\\[](.*)[\\]]", kind):
        for number, each in enumerate(value):
            check(each, found[1], f"{where}[{number}]")
    elif found := re.fullmatch(r"[Dd]ict[\\[(]str, (.*)[\\])]", kind):
        for name, each in value.items():
            check(each, found[1], f"{where}.{name}")
    elif kind not in ("object", "ResourceQuantity", "IntOrString", "IoK8sApimachineryPkgUtilIntstrIntOrString"):
        model = getattr(kserve, kind, None) or getattr(kubernetes.client.models, kind)
        names = {sent: name for name, sent in model.attribute_map.items()}
        unknown = set(value) - set(names)
        assert not unknown, (where, unknown)
        for name, each in value.items():
            check(each, model.openapi_types[names[name]], f"{where}.{name}")
        model(**{names[name]: each for name, each in value.items()})  # refuses what is missing

with open(sys.argv[1]) as file:
    check(yaml.safe_load(file), "V1beta1InferenceService", "")
"""


def test_pods_end_after_the_server_and_start_before_they_are_asked(repository):
    deployment, _, kserve = manifests(repository)
    for manifest in (deployment, kserve):
        pod, container = containers(manifest)
        before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] > before + LONGEST_STOP
        assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 60
        probed = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert probed == {"/v2/health/ready", "/v2/health/live"}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["resources"]["limits"]["memory"] == "3Gi"
        assert container["resources"]["requests"]["memory"] == "512Mi"


def test_what_selects_pods_selects_those_of_each_manifest(repository):
    label = {"app.kubernetes.io/name": "pairnet"}
    (monitor,), (policy,) = documents(repository, "podmonitor.yaml"), documents(repository, "networkpolicy.yaml")
    assert monitor["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"] == label
    (port,) = [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]]
    _, _, kserve = manifests(repository)
    assert kserve["spec"]["predictor"]["labels"] == label
    assert {each["name"]: each["containerPort"] for each in containers(kserve)[1]["ports"]} == {port: 8080}
    for name in ("kubernetes.yaml", "kubernetes-models.yaml"):
        deployment, service, headless, budget = documents(repository, name)
        assert deployment["spec"]["template"]["metadata"]["labels"] == label
        (spread,) = containers(deployment)[0]["topologySpreadConstraints"]
        for selected in (deployment["spec"]["selector"], budget["spec"]["selector"], spread["labelSelector"]):
            assert selected == {"matchLabels": label}
        assert service["spec"]["selector"] == headless["spec"]["selector"] == label
        assert headless["spec"]["clusterIP"] == "None"
        ports = {each["name"]: each["containerPort"] for each in containers(deployment)[1]["ports"]}
        assert ports == {port: 8080, "grpc": 8081}
        assert {each["targetPort"] for each in service["spec"]["ports"]} == set(ports)
    _, writer = documents(repository, "kubernetes-volume.yaml")
    assert writer["metadata"]["labels"] != label


def test_the_volume_is_written_by_one_pod_and_read_by_the_servers(repository):
    claim, writer = documents(repository, "kubernetes-volume.yaml")
    deployment, *_ = documents(repository, "kubernetes-models.yaml")
    expected = [{"name": "models", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}]
    pod, server = containers(deployment)
    assert pod["volumes"] == writer["spec"]["volumes"] == expected
    assert server["volumeMounts"] == [{"name": "models", "mountPath": "/volume", "readOnly": True}]
    assert writer["spec"]["containers"][0]["volumeMounts"] == [{"name": "models", "mountPath": "/volume"}]
    assert writer["spec"]["securityContext"]["runAsUser"] == pod["securityContext"]["runAsUser"]
    assert writer["spec"]["containers"][0]["image"] == server["image"]
    assert server["args"][server["args"].index("--models") + 1] == "/volume/models"
    baked = documents(repository, "kubernetes.yaml")
    assert "args" not in containers(baked[0])[1]
    del server["args"], server["volumeMounts"], pod["volumes"]  # all else is the same
    assert [deployment, *documents(repository, "kubernetes-models.yaml")[1:]] == baked


def test_models_in_a_volume_are_loaded_and_rolled_back_from_within_the_pod(tmp_path, models):
    """The commands of docs/serving.md, on folders of this machine; the arguments are those of the manifest."""
    write_repository([built_in_model()], tmp_path / "repository")
    deployment, *_ = documents(tmp_path / "repository", "kubernetes-models.yaml")
    folder, args = tmp_path / "repository" / "models", containers(deployment)[1]["args"]
    options = [str(folder) if each == "/volume/models" else each for each in args[args.index("serve") + 1 :]]
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    code = re.search(r"kubectl exec -n pairnet \$pod -- python -c \\\s+'([^']+)'", text)[1].replace(
        "final_model", "order_net_xs"
    )

    def load(server):
        code_here = code.replace("127.0.0.1:8081", server.grpc.replace("0.0.0.0", "127.0.0.1"))
        return subprocess.run([sys.executable, "-c", code_here], capture_output=True, text=True, timeout=60)

    def answer(server):
        url = f"http://127.0.0.1:{server.rest.rpartition(':')[2]}/v2/models/order_net_xs/infer"
        pair = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
        asked = urllib.request.Request(url, json.dumps({"inputs": [pair]}).encode())
        with urllib.request.urlopen(asked) as given:
            found = json.load(given)
        return found["model_version"], found["parameters"]["digest"]

    def place(version, content):
        (folder / "order_net_xs" / version).mkdir()
        (folder / "order_net_xs" / version / "model.onnx").write_bytes(content)

    with running_server(*options) as server:
        first = answer(server)
        assert first[0] == "1"
        place("2", models("order_net_fast").read_bytes())
        assert load(server).returncode == 0
        second = answer(server)
        assert (second[0], second[1] != first[1]) == ("2", True)
        place("3", (folder / "order_net_xs" / "1" / "model.onnx").read_bytes())
        assert load(server).returncode == 0
        assert answer(server) == ("3", first[1])
        place("4", b"half a copy")
        refused = load(server)
        assert refused.returncode != 0
        assert "/4/model.onnx: expected" in refused.stderr.splitlines()[-1]
        assert answer(server) == ("3", first[1])


def test_models_that_were_refused_are_measured(tmp_path):
    folder = tmp_path / "models"
    for name, version, content in (("good", "1", built_in_model().read_bytes()), ("good", "2", b""), ("bad", "1", b"")):
        (folder / name / version).mkdir(parents=True)
        (folder / name / version / "model.onnx").write_bytes(content)

    def loaded():
        with urllib.request.urlopen(f"http://{server.rest}/metrics") as answer:
            found = re.findall(
                r'^pairnet_model_loaded\{digest="(.*)",model="(.*)",version="(.*)"\} (.*)$',
                answer.read().decode(),
                re.MULTILINE,
            )
        assert len({each[1:3] for each in found}) == len(found)
        assert all((digest != "") == (value == "1.0") for digest, _, _, value in found)
        return {(name, version): float(value) for _, name, version, value in found}

    def ask(name, verb):
        asked = urllib.request.Request(f"http://{server.rest}/v2/repository/models/{name}/{verb}", b"")
        urllib.request.urlopen(asked).close()

    with running_server("--models", folder, "--control") as server:
        assert loaded() == {("good", "1"): 1, ("good", "2"): 0, ("bad", "1"): 0}
        (folder / "bad" / "1" / "model.onnx").write_bytes(built_in_model().read_bytes())
        ask("bad", "load")
        ask("good", "unload")  # on purpose, so nothing is refused any more
        assert loaded() == {("bad", "1"): 1}


@pytest.mark.parametrize("name", ["alerts.yaml", "dashboard.json"])
def test_alerts_and_dashboard_name_metrics_that_there_are(repository, metrics, name):
    there = set(re.findall(r"^(?:# TYPE )?([a-z_]+)(?:\{| )", metrics, re.MULTILINE))  # also those without values yet
    if name == "alerts.yaml":
        (group,) = yaml.safe_load((repository / name).read_text())["groups"]
        expressions = [rule["expr"] for rule in group["rules"]]
    else:
        found = json.loads((repository / name).read_text())
        expressions = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
        expressions += [each["query"]["query"] for each in found["templating"]["list"] if each["type"] == "query"]
        assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"]) > 0
        chosen = {each["name"]: each for each in found["templating"]["list"]}
        assert list(chosen) == ["datasource", "namespace", "job", "pod", "model"]
        for panel in found["panels"]:
            for target in panel["targets"]:
                assert 'namespace=~"$namespace", job=~"$job", pod=~"$pod"' in target["expr"]
        for variable in ("namespace", "job", "pod"):  # a Prometheus outside of Kubernetes has no such labels
            assert chosen[variable]["allValue"] == ".*"
    named = {name for expression in expressions for name in NAMES.findall(expression)}
    assert named
    assert named <= there


def promtool(*arguments, given=None):
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, in Debian's package prometheus")
def test_promtool_takes_metrics_and_rules(repository, metrics, tmp_path):
    assert promtool("check", "metrics", given=metrics) == (0, "")
    rules = str(repository / "alerts.yaml")
    status, printed = promtool("check", "rules", "--lint=all", "--lint-fatal", rules)
    assert status == 0, printed
    path = tmp_path / "test.yaml"
    for name, (series, labels) in ALERTS.items():
        given = {"up": "1x60", "pairnet_held_bytes": "0x60", "pairnet_requests_total": "0+1x60"} | series
        given = [
            {"series": key if "{" in key else key + HERE, "values": values} for key, values in given.items() if values
        ]
        case = {"eval_time": "30m", "alertname": name, "exp_alerts": [{"exp_labels": labels}]}
        test = {"interval": "1m", "input_series": given, "alert_rule_test": [case]}
        path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": [test]}))
        _, printed = promtool("test", "rules", str(path))
        fired = re.search(r"got:(.*)", printed, re.DOTALL)  # annotations are not compared: their text may change
        assert fired, printed
        assert f'alertname="{name}"' in fired[1], printed
        for label, value in labels.items():
            assert f'{label}="{value}"' in fired[1], printed
        assert "<error" not in fired[1]  # in a template
    quiet = [{"eval_time": "30m", "alertname": name, "exp_alerts": []} for name in ALERTS]
    series = {"up": "1x60", "pairnet_held_bytes": "0x60", "pairnet_requests_total": "0+1x60"} | QUIET
    given = [{"series": key if "{" in key else key + HERE, "values": values} for key, values in series.items()]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": quiet}
    path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": [test]}))
    status, printed = promtool("test", "rules", str(path))
    assert status == 0, printed
    named = {rule["alert"] for group in documents(repository, "alerts.yaml")[0]["groups"] for rule in group["rules"]}
    assert named == set(ALERTS)


def test_the_operator_gets_the_rules_of_prometheus(repository):
    (rule,), (alerts,) = documents(repository, "prometheusrule.yaml"), documents(repository, "alerts.yaml")
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"] == alerts


@pytest.mark.parametrize("image", ["pairnet:2", "registry.example.org:5000/a/pairnet:v1.2", f"p@sha256:{'0' * 64}"])
def test_the_manifests_name_the_image(tmp_path, image):
    write_repository([built_in_model()], tmp_path / "repository", image=image)
    for name in ("kubernetes.yaml", "kubernetes-models.yaml", "kserve-pairnet.yaml"):
        container = containers(documents(tmp_path / "repository", name)[0])[1]
        assert (container["image"], container["imagePullPolicy"]) == (image, "IfNotPresent")


@pytest.mark.parametrize(
    "image", ["pairnet", "pairnet:latest", "example.org:5000/pairnet", "a b:1", "a:1:2", "a:1\nb: 2", "A:1", ""]
)
def test_an_image_without_a_tag_of_its_own_is_refused(tmp_path, image):
    with pytest.raises(ArgumentError, match="`image`: expected a name with a tag of its own"):
        write_repository([built_in_model()], tmp_path / "repository", image=image)
    assert not (tmp_path / "repository").exists()


def test_the_container_installs_the_versions_that_are_named(tmp_path):
    pins, folder = tmp_path / "pins.txt", tmp_path / "repository"
    pins.write_text("numpy==2.4.6\n")
    write_repository([built_in_model()], folder)
    text = (folder / "Containerfile").read_text()
    assert "constraints.txt /wheels/" not in text
    assert "--constraints constraints.txt" in text
    for again in (pins, None):  # without naming it, it stays, as the wheel does
        write_repository([built_in_model()], folder, constraints=again)
        text = (folder / "Containerfile").read_text()
        assert "\nCOPY pairnet-*.whl constraints.txt /wheels/\n" in text
        assert "pip install --no-cache-dir -c /wheels/constraints.txt " in text
        assert (folder / "constraints.txt").read_bytes() == pins.read_bytes()
    assert "[serve,tracing]" in text


def test_constraints_name_a_version_of_each_package_that_the_container_asks_for():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = map(Requirement, project["dependencies"] + extras["serve"] + extras["tracing"])
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines) if version
    }
    for each in asked:
        if each.marker is None or each.marker.evaluate():
            assert each.specifier.contains(pins[canonicalize_name(each.name)]), each


@pytest.mark.parametrize(
    ("wheel", "python"),
    [("pairnet-0.1.0-cp313-cp313-linux_x86_64.whl", "3.13"), ("pairnet-0.1.0-1-cp311-cp311-linux_aarch64.whl", "3.11")],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_the_container_has_the_python_of_the_wheel_that_is_there(tmp_path, wheel, python, is_there):
    folder = tmp_path / "repository"
    given = (folder if is_there else tmp_path) / wheel
    if is_there:
        write_repository([built_in_model()], folder)
    given.write_bytes(b"wheel")
    write_repository([built_in_model()], folder, wheel=None if is_there else given)
    text = (folder / "Containerfile").read_text()
    assert f"\nFROM python:{python}-slim\n" in text
    pattern = re.search(r"ls /wheels/(\S+)\)", text)[1]
    assert [path.name for path in folder.glob(pattern)] == [wheel]
    assert (folder / wheel).read_bytes() == b"wheel"
    write_repository([built_in_model()], folder)  # again, without naming it
    assert (folder / wheel).read_bytes() == b"wheel"
    assert (folder / "Containerfile").read_text() == text


def test_a_wheel_that_is_none_is_refused(tmp_path):
    for name in ("pairnet.whl", "other-0.1.0-cp313-cp313-linux_x86_64.whl", "pairnet-0.1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ArgumentError, match="`wheel`: expected pairnet-VERSION"):
            write_repository([built_in_model()], tmp_path / "repository", wheel=tmp_path / name)
    with pytest.raises(ArgumentError, match="a wheel"):
        write_repository([built_in_model()], tmp_path / "repository", wheel=tmp_path / "pairnet-1-cp311-cp311-any.whl")
    write_repository([built_in_model()], tmp_path / "repository")
    for tag in ("cp311", "cp313"):
        (tmp_path / "repository" / f"pairnet-0.1.0-{tag}-{tag}-linux_x86_64.whl").write_bytes(b"")
    with pytest.raises(ArgumentError, match="one version of Python"):
        write_repository([built_in_model()], tmp_path / "repository")
