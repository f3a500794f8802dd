"""The files for containers and their platforms: read by the platforms' own readers, and named after what there is."""

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml
from running_server import running_server

from pairnet.errors import ArgumentError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.repository import write_repository
from pairnet.serving.server.running import LONGEST_STOP

NAMES = re.compile(r"\b(?:pairnet|process)_[a-z_]+")
WITH_KSERVE = os.environ.get("PAIRNET_KSERVE")
PROMTOOL = shutil.which("promtool")


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


def manifests(repository):
    deployment, service = yaml.safe_load_all((repository / "kubernetes.yaml").read_text())
    return deployment, service, yaml.safe_load((repository / "kserve-pairnet.yaml").read_text())


def test_kubernetes_takes_the_manifest(repository):
    validate = pytest.importorskip("kubernetes_validate").validate
    text = (repository / "kubernetes.yaml").read_text()
    http = "httpGet: {path: /v2/health/ready, port: 8080}"
    assert text.count(http) == 2
    for form in (text, text.replace(http, "grpc: {port: 8081}")):
        kinds = [document["kind"] for document in yaml.safe_load_all(form)]
        assert kinds == ["Deployment", "Service"]
        for document in yaml.safe_load_all(form):
            validate(document, "1.34", strict=True)


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
    deployment, service, kserve = manifests(repository)
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
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    monitor = yaml.safe_load((repository / "podmonitor.yaml").read_text())
    selected = (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"])
    assert (*selected, monitor["spec"]["selector"]["matchLabels"]) == (labels,) * 3
    ports = {port["name"]: port["containerPort"] for port in containers(deployment)[1]["ports"]}
    assert ports == {"http": 8080, "grpc": 8081}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports


@pytest.mark.parametrize("name", ["alerts.yaml", "dashboard.json"])
def test_alerts_and_dashboard_name_metrics_that_there_are(repository, metrics, name):
    there = set(re.findall(r"^([a-z_]+)(?:\{| )", metrics, re.MULTILINE))
    if name == "alerts.yaml":
        (group,) = yaml.safe_load((repository / name).read_text())["groups"]
        expressions = [rule["expr"] for rule in group["rules"]]
    else:
        found = json.loads((repository / name).read_text())
        expressions = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
        expressions += [each["query"]["query"] for each in found["templating"]["list"] if each["type"] == "query"]
        assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"]) > 0
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
    expected = {
        "PairnetFails": ('pairnet_errors_total{job="j", model="m", kind="failed"}', "0+1x60", {"model": "m"}),
        "PairnetQueue": ('pairnet_queue_pairs{job="j", model="m"}', "5000x60", {"job": "j", "model": "m"}),
        "PairnetBusy": ('pairnet_errors_total{job="j", model="m", kind="busy"}', "0+9x60", {"job": "j"}),
        "PairnetMemory": (
            'process_resident_memory_bytes{job="j", instance="i"}',
            "9e8x60",
            {"job": "j", "instance": "i"},
        ),
    }
    for name, (series, values, labels) in expected.items():
        severity = "critical" if name == "PairnetFails" else "warning"
        others = ["pairnet_requests_total", "pairnet_queue_pairs"]
        test = {
            "rule_files": [rules],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": series, "values": values},
                        *(
                            {"series": f'{other}{{job="j", instance="i", model="n"}}', "values": "0+1x60"}
                            for other in others
                        ),
                    ],
                    "alert_rule_test": [
                        {
                            "eval_time": "30m",
                            "alertname": name,
                            "exp_alerts": [{"exp_labels": labels | {"severity": severity}}],
                        }
                    ],
                }
            ],
        }
        path = tmp_path / "test.yaml"
        path.write_text(yaml.safe_dump(test))
        status, printed = promtool("test", "rules", str(path))
        fired = re.search(r"got:(.*)", printed, re.DOTALL)  # annotations are not compared: their text may change
        assert status == 0 or (fired and f'alertname="{name}"' in fired[1]), printed


@pytest.mark.parametrize(
    ("wheel", "python"),
    [("pairnet-0.1.0-cp313-cp313-linux_x86_64.whl", "3.13"), ("pairnet-0.1.0-1-cp311-cp311-linux_aarch64.whl", "3.11")],
)
@pytest.mark.parametrize("beside", [True, False])
def test_the_container_has_the_python_of_the_wheel_that_is_there(tmp_path, wheel, python, beside):
    folder = tmp_path / "repository"
    given = (folder if beside else tmp_path) / wheel
    if beside:
        write_repository([built_in_model()], folder)
    given.write_bytes(b"wheel")
    write_repository([built_in_model()], folder, wheel=None if beside else given)
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
