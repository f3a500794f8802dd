"""A model repository for other servers: read back with the formats' own readers."""

import json
import re
import sys

import onnx
import pytest
import yaml
from google.protobuf import text_format
from packaging import tags
from tritonclient.grpc import model_config_pb2

from pairnet.errors import ArgumentError, ModelError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.repository import write_repository

pytest_plugins = ("trained_runs",)

TYPES = {onnx.TensorProto.UINT8: model_config_pb2.TYPE_UINT8, onnx.TensorProto.FLOAT: model_config_pb2.TYPE_FP32}


def configuration(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_triton_s_configuration_describes_the_file(models, tmp_path):
    files = [built_in_model(), models("w_net", "pairs")]
    write_repository(files, tmp_path / "new" / "repository", max_batch=32, max_wait=0.002, instances=3, kind="cpu")
    for path in files:
        name = path.name.removesuffix(".onnx")
        folder = tmp_path / "new" / "repository" / "models" / name
        copied = folder / "1" / "model.onnx"
        assert copied.read_bytes() == path.read_bytes()
        config = configuration(folder)
        assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 32)
        assert list(config.dynamic_batching.preferred_batch_size) == [32]
        assert config.dynamic_batching.max_queue_delay_microseconds == 2000
        group = config.instance_group[0]
        assert (group.count, group.kind) == (3, model_config_pb2.ModelInstanceGroup.KIND_CPU)
        assert config.parameters["intra_op_thread_count"].string_value == "1"
        graph = onnx.load(copied).graph
        for declared, actual in ((config.input, graph.input), (config.output, graph.output)):
            assert [port.name for port in declared] == [port.name for port in actual]
            for port, value in zip(declared, actual, strict=True):
                tensor = value.type.tensor_type
                assert port.data_type == TYPES[tensor.elem_type]
                sizes = [axis.dim_value for axis in tensor.shape.dim][1:]
                assert list(port.reshape.shape if port.HasField("reshape") else port.dims) == sizes


def test_the_manifest_and_the_container(tmp_path):
    folder = tmp_path / "repository"
    write_repository([built_in_model()], folder, kind="gpu", instances=2)
    config = configuration(folder / "models" / "order_net_xs")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert {name: each.string_value for name, each in config.parameters.items()} == {
        "intra_op_thread_count": "1",
        "inter_op_thread_count": "1",
    }
    manifest = yaml.safe_load((folder / "kserve.yaml").read_text())
    assert manifest["kind"] == "InferenceService"
    model = manifest["spec"]["predictor"]["model"]
    assert model["protocolVersion"] == "v2"
    assert model["storageUri"].startswith("pvc://")
    assert model["resources"]["requests"]["cpu"] == "2"
    assert model["resources"]["limits"] == {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"}
    lines = (folder / "Containerfile").read_text().splitlines()
    command = json.loads(next(line for line in lines if line.startswith("CMD")).removeprefix("CMD "))
    assert command == ["pairnet", "serve", "--host", "0.0.0.0", "/models/order_net_xs.onnx"]
    assert "USER 65534" in lines
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"FROM python:{running}-slim" in lines
    copies = [json.loads(line.removeprefix("COPY ")) for line in lines if line.startswith("COPY [")]
    assert copies == [["models/order_net_xs/1/model.onnx", "/models/order_net_xs.onnx"]]
    assert (folder / copies[0][0]).is_file()


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 14)])
def test_the_container_has_the_python_of_the_wheel(tmp_path, monkeypatch, version):
    """`pip wheel` with this Python gives a wheel that pip takes in the container: same tags of Python and its ABI."""
    monkeypatch.setattr(sys, "version_info", (*version, 7, "final", 0))
    write_repository([built_in_model()], tmp_path / "repository")
    text = (tmp_path / "repository" / "Containerfile").read_text()
    taken = re.search(r"^FROM python:(\d+)\.(\d+)-slim$", text, re.MULTILINE)
    accepted = {str(tag) for tag in tags.cpython_tags((int(taken[1]), int(taken[2])), platforms=["linux_x86_64"])}
    wheel = f"cp{version[0]}{version[1]}"
    assert f"{wheel}-{wheel}-linux_x86_64" in accepted
    assert f"{wheel} is Python {version[0]}.{version[1]}" in text


def test_it_appears_whole_or_not_at_all(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nothing")
    with pytest.raises(ModelError):
        write_repository([built_in_model(), bad], tmp_path / "repository")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


@pytest.mark.parametrize(("option", "value"), [("max_batch", 0), ("instances", 0), ("max_wait", -1.0)])
def test_options_have_bounds(tmp_path, option, value):
    with pytest.raises(ArgumentError, match=option):
        write_repository([built_in_model()], tmp_path / "repository", **{option: value})


def test_the_command(command_line, tmp_path):
    assert command_line("export-repository", built_in_model())[1].splitlines() == [
        "repository/Containerfile",
        "repository/alerts.yaml",
        "repository/dashboard.json",
        "repository/kserve-pairnet.yaml",
        "repository/kserve.yaml",
        "repository/kubernetes-models.yaml",
        "repository/kubernetes-volume.yaml",
        "repository/kubernetes.yaml",
        "repository/models/order_net_xs/1/model.onnx",
        "repository/models/order_net_xs/config.pbtxt",
        "repository/networkpolicy.yaml",
        "repository/podmonitor.yaml",
        "repository/prometheusrule.yaml",
    ]
    assert command_line("export-repository", built_in_model(), "--instances", 2)[0] == 0
    assert "count: 2" in (tmp_path / "repository" / "models" / "order_net_xs" / "config.pbtxt").read_text()


def test_a_model_that_is_no_longer_named_goes_with_its_folder_and_is_told(command_line, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(built_in_model().read_bytes())
    folder = tmp_path / "repository"
    assert command_line("export-repository", built_in_model(), other)[0] == 0
    config = folder / "models" / "order_net_xs" / "config.pbtxt"
    config.write_text(config.read_text() + "# mine")
    status, printed, told = command_line("export-repository", other)
    assert status == 0
    assert "order_net_xs" not in printed
    assert told.splitlines() == [
        "removed repository/models/order_net_xs/1/model.onnx",
        "kept repository/models/order_net_xs/config.pbtxt, which is not as it was written",
    ]
    assert [path.name for path in (folder / "models" / "order_net_xs").iterdir()] == ["config.pbtxt"]
    for _ in range(2):
        assert command_line("export-repository", built_in_model(), "--output", "second")[0] == 0
        told = command_line("export-repository", other, "--output", "second")[2]
        assert told.splitlines() == [
            "removed second/models/order_net_xs/1/model.onnx",
            "removed second/models/order_net_xs/config.pbtxt",
        ]
        assert [path.name for path in (tmp_path / "second" / "models").iterdir()] == ["other"]
