"""The predictor: no torch, the recorded accuracy exactly, any number of threads, and errors for invalid input."""

import inspect
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from pairnet.artifact import sessions
from pairnet.artifact.recorded import measure, recorded_draw
from pairnet.data.sources import load_dataset
from pairnet.errors import ArgumentError, ClosedError, DataError, InputError, ModelError, ProviderError
from pairnet.models.variants import VARIANTS
from pairnet.records.folders import load_record
from pairnet.serving import model as model_module
from pairnet.serving import predictor as module
from pairnet.serving.inputs import check_results
from pairnet.serving.model import CudaRunner, Model
from pairnet.serving.predictor import Predictor
from pairnet.study.saved import evaluate, load_run

pytest_plugins = ("trained_runs",)

WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnxscript", "rich", "typer", "matplotlib", "sklearn", "PIL"):
            raise ModuleNotFoundError(f"{name} is not in this environment", name=name)
sys.meta_path.insert(0, NoTorch())
from pairnet.serving.predictor import Predictor
assert not {name.split(".")[0] for name in sys.modules} & {"torch", "mlxtend", "requests"}, "predictor imports"
from pairnet.artifact.recorded import measure, recorded_draw
from pairnet.data.sources import load_dataset
with Predictor(sys.argv[1]) as predictor:
    draw = recorded_draw(predictor.metadata, load_dataset(predictor.metadata.data_source))
    print(repr(measure(predictor.probability, draw)))
"""


@pytest.fixture
def final(models):
    with Predictor(models("final_model"), warm_up=False) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def pairs(digits5k):
    pixels = digits5k.test.pixels
    return np.stack((pixels[::7][:150], pixels[3::7][:150]), axis=1)  # [150,2,28,28]


def test_without_torch_it_reproduces_the_recorded_accuracy(models, trained):
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(models("final_model"))], capture_output=True, text=True, check=False
    )
    assert answer.stderr == ""
    assert answer.stdout.strip() == repr(load_record(trained("final_model")).accuracy)


@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_variant_reproduces_its_recorded_accuracy(variant, kind, models, trained, digits5k):
    with Predictor(models(variant.name, kind)) as predictor:
        assert predictor.input_kind == kind
        accuracy = measure(predictor.probability, recorded_draw(predictor.metadata, digits5k))
    assert accuracy == evaluate(load_run(trained(variant.name)), digits5k)


def test_the_draw_is_refused_for_other_images(final):
    with pytest.raises(DataError, match=r"final_model: expected .* mnist5k, SHA-256 ee4e028074c4, got procedural"):
        recorded_draw(final.metadata, load_dataset("glyphs:500"))


@pytest.mark.parametrize(("threads", "per_run", "batch"), [(1, 1, 16), (3, 1, 7), (2, 1, 64), (3, 2, 64), (3, 3, 64)])
def test_chunks_and_threads_change_nothing(threads, per_run, batch, models, pairs):
    with (
        Predictor(models("final_model"), threads=1, batch=1000) as whole,
        Predictor(models("final_model"), threads=threads, threads_per_run=per_run, batch=batch) as predictor,
    ):
        for count in (1, 2, 15, 16, 17, 64, 65, 150):
            expected = whole.probability(pairs[:count])
            np.testing.assert_allclose(predictor.probability(pairs[:count]), expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_an_answer_does_not_depend_on_its_batch(variant, precision, models, pairs):
    """So a server may compute the requests of several clients together."""
    with Predictor(models(variant.name, "images", precision), threads=1, batch=150) as predictor:
        expected = predictor.outputs(pairs[:60])
        for size in (1, 2, 3, 7, 16, 33):
            parts = [predictor.outputs(pairs[start : min(start + size, 60)]) for start in range(0, 60, size)]
            for name, values in expected.items():
                assert (np.concatenate([part[name] for part in parts]) == values).all()


def test_a_gpu_gets_no_more_pairs_at_once_than_its_pooling_takes(models, pairs, monkeypatch):
    open_model, run, sizes = Model.__init__, Model.run, []

    def open_on_gpu(self, *given, **options):
        open_model(self, *given, **options)
        self.on_gpu = True

    def count_pairs(self, feeds):
        sizes.append(len(next(iter(feeds.values()))))
        return run(self, feeds)

    monkeypatch.setattr(Model, "__init__", open_on_gpu)
    monkeypatch.setattr(Model, "run", count_pairs)
    monkeypatch.setattr(module, "GPU_LARGEST_CHUNK", 10)
    with Predictor(models("final_model"), provider="cpu", batch=2**20, warm_up=False) as predictor:
        predictor.probability(pairs[:25])
    assert sizes == [10, 10, 5]


def test_many_threads_use_it_at_the_same_time(final, pairs):
    expected = [final.probability(pairs[i : i + 20]) for i in range(100)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda i: final.probability(pairs[i : i + 20]), range(100)))
            assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_compare_takes_one_or_many_on_either_side(final, pairs):
    first, second = pairs[:, 0], pairs[:, 1]
    expected = final.probability(pairs)
    assert final.compare(first[0], second[0]) == pytest.approx(expected[0], abs=1e-6)
    assert isinstance(final.compare(first[0], second[0]), float)
    np.testing.assert_allclose(final.compare(first, second), expected, atol=1e-6)
    assert final.compare(first[0], second[:5]).shape == final.compare(first[:5], second[0]).shape == (5,)


def test_digits_are_distributions(final, models, pairs):
    digits = final.digits(pairs[:5])
    assert digits.shape == (5, 2, 10)
    np.testing.assert_allclose(digits.sum(-1), 1, atol=1e-5)
    with Predictor(models("w_net")) as none, pytest.raises(ModelError, match="`with_digits`"):
        none.digits(pairs)


@pytest.mark.parametrize("name", ["final_model", "order_net_fast"])
def test_rank_agrees_with_comparing_all_pairs(name, models, pairs):
    images = pairs[:30, 0]
    with Predictor(models(name)) as predictor:
        order, score = predictor.rank(images)
        again = predictor.rank(images)
        table = predictor.probability(np.stack((images.repeat(30, 0), np.tile(images, (30, 1, 1))), 1)).reshape(30, 30)
    assert (order == again.order).all()
    assert (score == again.score).all()
    np.testing.assert_allclose(score, ((table + 1 - table.T) / 2).mean(1), atol=1e-5)
    assert sorted(order) == list(range(30))
    assert (np.diff(score[order]) <= 0).all()


def test_rank_holds_few_rows_at_once(final, pairs, monkeypatch):
    expected = final.rank(pairs[:40, 0])
    monkeypatch.setattr(module, "ROWS", 7)
    assert (final.rank(pairs[:40, 0]).order == expected.order).all()


@pytest.mark.parametrize("finds", [True, False])
def test_encoder_and_head_without_the_joint_file(finds, models, final, pairs):
    encoder, head = (models("final_model").with_suffix(f".{part}.onnx") for part in ("encoder", "head"))
    with Predictor(encoder) if finds else Predictor.from_split(encoder, head) as split:
        np.testing.assert_allclose(split.probability(pairs), final.probability(pairs), atol=1e-5)
        assert (split.rank(pairs[:20, 0]).order == final.rank(pairs[:20, 0]).order).all()


def test_a_single_head_is_refused(models):
    path = models("final_model")
    with pytest.raises(ModelError, match=r"head.onnx: expected a joint file or an encoder, got a head"):
        Predictor(path.with_suffix(".head.onnx"))


def test_a_model_as_bytes(models, final, pairs):
    with Predictor(models("final_model").read_bytes()) as predictor:
        assert (predictor.probability(pairs) == final.probability(pairs)).all()
        with pytest.raises(ModelError, match="from_split"):
            predictor.rank(pairs[:, 0])


def test_parts_that_do_not_belong_together(models, tmp_path, pairs):
    for part in ("encoder", "head"):
        source = models("w_net").with_suffix(f".{part}.onnx")
        (tmp_path / f"m.{part}.onnx").write_bytes(source.read_bytes())
    (tmp_path / "m.onnx").write_bytes(models("final_model").read_bytes())
    with (
        Predictor(tmp_path / "m.onnx") as predictor,
        pytest.raises(ModelError, match=r"m\.encoder\.onnx: expected the run of m\.onnx, got another"),
    ):
        predictor.rank(pairs[:, 0])
    with pytest.raises(ModelError, match=r"expected an encoder and a head, got encoder .* and encoder"):
        Predictor.from_split(tmp_path / "m.encoder.onnx", tmp_path / "m.encoder.onnx")
    with pytest.raises(ModelError, match="expected the run of the encoder"):
        Predictor.from_split(tmp_path / "m.encoder.onnx", models("final_model").with_suffix(".head.onnx"))
    with Predictor(models("fc_1")) as joint, pytest.raises(ModelError, match=r"encoder.onnx and .*--split"):
        joint.rank(pairs[:, 0])


@pytest.mark.parametrize(
    ("kind", "precision", "difference"), [("pairs", "fp32", "input"), ("images", "int8", "precision")]
)
def test_parts_left_from_an_earlier_export_are_refused(kind, precision, difference, models, tmp_path, pairs):
    for part in ("encoder", "head"):
        (tmp_path / f"m.{part}.onnx").write_bytes(models("w_net").with_suffix(f".{part}.onnx").read_bytes())
    (tmp_path / "m.onnx").write_bytes(models("w_net", kind, precision).read_bytes())
    message = rf"m.encoder.onnx: expected the {difference} of m.onnx, got another.*--split"
    with Predictor(tmp_path / "m.onnx") as predictor, pytest.raises(ModelError, match=message):
        predictor.rank(pairs[:, 0])


def test_a_joint_file_may_be_called_encoder(models, tmp_path, pairs):
    source = models("w_net")
    for suffix in ("onnx", "encoder.onnx", "head.onnx"):
        (tmp_path / f"my.encoder.{suffix}").write_bytes(source.with_suffix(f".{suffix}").read_bytes())
    with Predictor(tmp_path / "my.encoder.onnx") as named, Predictor(source) as plain:
        assert (named.rank(pairs[:, 0]).order == plain.rank(pairs[:, 0]).order).all()


def test_values_that_overflow_are_refused(models):
    giant, message = np.full((2, 2, 14, 14), 1e6, np.float32), r"`pairs`: .* a few units, got 1e\+06"
    with Predictor(models("final_model", "pairs", "fp16")) as predictor, pytest.raises(InputError, match=message):
        predictor.probability(giant)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS if variant.shared and not variant.net])
def test_a_head_takes_one_row_on_either_side(name, precision, models, pairs):
    path = models(name, "images", precision)
    encoder, head = (ort.InferenceSession(str(path.with_suffix(f".{part}.onnx"))) for part in ("encoder", "head"))
    (rows,) = encoder.run(None, {"image": pairs[:10, :1]})
    for first, second in ((rows[:1], rows), (rows, rows[:1]), (rows[:3], rows[3:6])):
        whole = dict(zip(("first", "second"), np.broadcast_arrays(first, second), strict=True))
        found = head.run(None, {"first": first, "second": second})[0]
        np.testing.assert_allclose(found, head.run(None, whole)[0], atol=0.01)
    with Predictor(path) as predictor:
        assert sorted(predictor.rank(pairs[:10, 0]).order) == list(range(10))


GREY = np.zeros((3, 2, 28, 28), np.uint8)
POOLED = np.zeros((3, 2, 14, 14), np.float32)


@pytest.mark.parametrize(
    ("kind", "images", "message"),
    [
        ("images", GREY.astype(np.float32), r"expected uint8 \[N,2,28,28\], got float32 \[3,2,28,28\]: pass raw grey"),
        ("images", GREY.astype(np.int64), "got int64"),
        ("images", [["a"]], r"got <U1 \[1,1\]"),
        ("images", [[1], [1, 2]], "expected an array, got list: "),
        ("images", GREY[0], r"got uint8 \[2,28,28\]: add a batch axis"),
        ("images", np.moveaxis(GREY, 1, -1), r"got uint8 \[3,28,28,2\]: move the channel axis"),
        ("images", GREY[:, 0], r"got uint8 \[3,28,28\]: combine two images"),
        ("images", GREY[..., ::2, ::2], r"got uint8 \[3,2,14,14\]: pass raw pixels"),
        ("images", GREY[:, :, :27], r"\[3,2,27,28\]: see Predictor.input_kind"),
        ("images", GREY[:, :1], r"\[3,1,28,28\]"),
        ("images", GREY[:0], r"got uint8 \[0,2,28,28\]: pass at least one"),
        ("images", np.uint8(3), r"got uint8 \[\]"),
        ("pairs", GREY, r"expected float32 \[N,2,14,14\], got uint8 .*normalised"),
        ("pairs", POOLED.astype(np.float64), "got float64"),
        ("pairs", POOLED[:0], "pass at least one"),
        ("pairs", POOLED + np.where(np.arange(14) == 3, np.nan, 0).astype(np.float32), r"nan at \[0, 0, 0, 3\]"),
        ("pairs", POOLED + np.float32(np.inf), r"inf at \[0, 0, 0, 0\]"),
    ],
)
def test_invalid_input_is_refused_in_one_line(kind, images, message, models):
    with Predictor(models("final_model", kind)) as predictor, pytest.raises(InputError, match=message) as error:
        predictor.probability(images)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (GREY, GREY, r"`first`: expected one image \[28,28\] or many"),
        (GREY[0, 0], POOLED[0, 0], "the dtype and image size of `first`"),
        (GREY[:2, 0], GREY[:, 0], "`second`: expected 2 images, as in `first`, got 3"),
    ],
)
def test_invalid_images_to_compare_are_refused(first, second, message, final):
    with pytest.raises(InputError, match=message):
        final.compare(first, second)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREY, r"`images`: expected uint8 \[N,1,28,28\], got uint8 \[3,2,28,28\]"),
        (GREY[:0, 0], "pass at least one"),
    ],
)
def test_invalid_images_to_rank_are_refused(images, message, final):
    with pytest.raises(InputError, match=message):
        final.rank(images)


def test_files_that_no_export_wrote(tmp_path, models):
    path = tmp_path / "file.onnx"
    with pytest.raises(ModelError, match="expected an ONNX file that `pairnet export` wrote, got no such file"):
        Predictor(path)
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"file\.onnx: expected an ONNX model"):
        Predictor(path)
    with pytest.raises(ModelError, match="the given bytes: expected an ONNX model"):
        Predictor(models("fc_1").read_bytes()[:1000])


def test_a_closed_predictor_raises_an_error(models):
    with Predictor(models("fc_1")) as predictor:
        pass
    with pytest.raises(ClosedError, match="got a closed one"):
        predictor.probability(GREY)
    predictor.close()


@pytest.mark.parametrize("value", [0, 1.5, 10**9])
@pytest.mark.parametrize("option", ["threads", "batch", "threads_per_run", "graph_batches"])
def test_options_are_whole_numbers_with_bounds(option, value, models):
    with pytest.raises(ArgumentError, match=rf"`{option}`: expected a whole number from 1 to [0-9,]+, got {value}"):
        Predictor(models("fc_1"), **{option: (value,) if option == "graph_batches" else value})


def test_threads_per_run_are_at_most_threads(models):
    with pytest.raises(ArgumentError, match="`threads_per_run`: expected at most `threads`, which is 2, got 3"):
        Predictor(models("fc_1"), threads=2, threads_per_run=3)


@pytest.mark.parametrize("name", ["final_model", "w_net"])
def test_a_runner_with_resident_tensors_gives_the_same_results(name, models, pairs):
    session = sessions.open_session(models(name).read_bytes(), "cpu")
    runner = CudaRunner(session, (3, 20), device="cpu")
    for size in (1, 3, 20, 3, 50):  # replayed and not
        feeds = {"pair": pairs[:size]}
        expected = session.run(None, feeds)
        for one, other in zip(runner(feeds), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    backwards = pairs[:20][::-1]
    np.testing.assert_allclose(runner({"pair": backwards})[0], session.run(None, {"pair": backwards})[0], atol=1e-6)


def test_no_batch_has_the_graph_of_a_run_without_a_number(models, monkeypatch):
    given = []
    real = model_module._with_graph
    monkeypatch.setattr(model_module, "_with_graph", lambda index: (given.append(index), real(index))[1])
    CudaRunner(sessions.open_session(models("fc_1").read_bytes(), "cpu"), (3, 20), device="cpu")
    assert len(set(given)) == 2
    assert min(given) > 0  # ONNX Runtime takes 0 for runs that state none, -1 for none


def test_a_run_has_one_thread_unless_more_are_asked_for(models):
    for options, threads in (({}, 1), ({"threads_per_run": 2}, 2)):
        assert Model(models("fc_1"), "cpu", **options)._session.get_session_options().intra_op_num_threads == threads


def test_a_ranking_compares_one_with_many_without_a_graph(models):
    """The head gets one row and N rows: no CUDA graph has both."""
    path = models("w_net")
    head = sessions.open_session(path.with_suffix(".head.onnx").read_bytes(), "cpu")
    runner = CudaRunner(head, (1, 5), device="cpu")
    size = head.get_inputs()[0].shape[1]
    rows = np.random.default_rng(0).standard_normal((5, size)).astype(np.float32)
    feeds = {"first": rows[:1], "second": rows}
    np.testing.assert_allclose(runner(feeds)[0], head.run(None, feeds)[0], atol=1e-6)


def test_equal_images_among_others_keep_their_order(models, digits5k):
    images = np.tile(digits5k.test.pixels[[100, 900, 1700]], (100, 1, 1))
    with Predictor(models("w_net")) as predictor:
        order, score = predictor.rank(images)
        assert predictor.rank(images[:1]).order.tolist() == [0]
    assert len(set(score.tolist())) == 3
    for kind in range(3):
        assert [at for at in order.tolist() if at % 3 == kind] == list(range(kind, 300, 3))


def test_the_failure_of_one_chunk_stops_the_others(models):
    """The calling thread fails while a helper computes its first item: the helper takes no second one."""
    failed, caller, taken = threading.Event(), threading.current_thread(), []
    with Predictor(models("fc_1"), threads=2) as predictor:

        def chunk(number):
            taken.append(number)
            if threading.current_thread() is caller:
                while len(taken) < 2:  # until the helper has an item
                    threading.Event().wait(0.001)
                failed.set()
                raise KeyError(number)
            failed.wait()
            threading.Event().wait(0.05)  # the caller leaves its loop first
            return number

        with pytest.raises(KeyError):
            predictor._map(chunk, range(1000))
        assert len(taken) <= 3
        assert predictor._map(abs, range(-50, 0)) == list(range(50, 0, -1))


def test_the_failure_of_a_helper_is_raised(models):
    caller, helper_ran = threading.current_thread(), threading.Event()

    def chunk(number):
        if threading.current_thread() is caller:
            helper_ran.wait()
            return number
        helper_ran.set()
        raise KeyError(number)

    with Predictor(models("fc_1"), threads=2) as predictor, pytest.raises(KeyError):
        predictor._map(chunk, range(1000))


@pytest.mark.parametrize("seed", range(5))
def test_closing_during_use_raises_closed_error_only(seed, models, pairs):
    predictor, errors = Predictor(models("fc_1"), threads=3, batch=16), []

    def ask():
        try:
            while True:
                predictor.probability(pairs)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.01 * seed)
    predictor.close()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [ClosedError] * 4


def test_a_pool_closed_between_check_and_submission_raises_closed_error(models, pairs, monkeypatch):
    predictor = Predictor(models("fc_1"), threads=2)
    real = predictor._pool.submit

    def submit(work):
        predictor.close()
        return real(work)

    monkeypatch.setattr(predictor._pool, "submit", submit)
    with pytest.raises(ClosedError):
        predictor.probability(pairs)


def test_encoder_and_head_are_opened_once_by_many_threads(models, pairs, monkeypatch):
    opened, real = [], module.find_split

    def spy(*arguments):
        opened.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(module, "find_split", spy)
    with Predictor(models("w_net"), warm_up=False) as predictor, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: predictor.rank(pairs[:3, 0]), range(8)))
    assert len(opened) == 1


def test_from_split_takes_all_options(models, pairs):
    path = models("w_net")
    parts = path.with_suffix(".encoder.onnx"), path.with_suffix(".head.onnx")
    options = {"provider": "cpu", "threads": 3, "batch": 7, "threads_per_run": 2, "warm_up": False}
    with Predictor.from_split(*parts, **options) as split, Predictor(path, **options) as joint:
        assert (split._threads, split._batch) == (joint._threads, joint._batch) == (1, 7)
        np.testing.assert_allclose(split.probability(pairs), joint.probability(pairs), atol=1e-5)
    constructor = inspect.signature(Predictor).parameters
    assert list(inspect.signature(Predictor.from_split).parameters)[2:] == list(constructor)[1:]
    with pytest.raises(ArgumentError, match="`threads`"):
        Predictor.from_split(*parts, threads=0)


@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_results_that_are_not_probabilities_are_an_error(kind, models, monkeypatch):
    """A damaged ONNX Runtime, say: a file whose weights are not finite is refused before it runs."""
    images, message = GREY if kind == "images" else POOLED, "expected values from 0 to 1 as probability, got nan to nan"
    with Predictor(models("w_net", kind)) as predictor:
        real = predictor._model.run
        monkeypatch.setattr(predictor._model, "run", lambda feeds: [values * np.nan for values in real(feeds)])
        with pytest.raises(ModelError, match=message):
            predictor.probability(images)


@pytest.mark.parametrize(("name", "value"), [("probability", 1.5), ("digits", -0.5), ("features", np.inf)])
def test_each_result_has_its_bounds(name, value):
    results = np.full((3, 2), 0.5)
    check_results({name: results}, GREY)
    results[1, 1] = value
    with pytest.raises(ModelError, match=f"as {name}, got"):
        check_results({name: results}, GREY)


def test_rounding_errors_do_not_leave_0_to_1():
    results = np.array([1 + 1e-7, -1e-9, 0.25], np.float32)
    check_results({"probability": results}, GREY)
    assert results.tolist() == [1.0, 0.0, 0.25]


def test_a_failure_of_onnx_runtime_is_a_model_error(models):
    model = Model(models("fc_1"), "cpu")
    with pytest.raises(ModelError, match="expected a run to succeed, ONNX Runtime reports"):
        model.run({"pair": GREY[..., :27]})


no_gpu = pytest.mark.skipif(not sessions.missing("CUDAExecutionProvider"), reason="a GPU is here")


@no_gpu
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_missing_gpu_is_an_error(provider, models):
    with pytest.raises(ProviderError, match=rf"got {provider}: .*(driver|built without|library)"):
        Predictor(models("fc_1"), provider=provider)


@no_gpu
def test_auto_is_the_cpu_without_a_gpu(final):
    assert final.provider == "cpu"


def test_missing_libraries_are_reported_in_order(monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "built without CUDAExecutionProvider: pip install" in sessions.missing("CUDAExecutionProvider")
    assert sessions.missing("CPUExecutionProvider") == ""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        sessions, "_load_failure", lambda library, **_: "" if "cuda.so.1" in library else "libcudnn.so.9"
    )
    assert sessions.missing("CUDAExecutionProvider").startswith("a library is missing (libcudnn.so.9): pip")


def test_a_provider_that_fell_back_is_an_error(models, monkeypatch):
    monkeypatch.setattr(sessions, "missing", lambda provider: "")
    monkeypatch.setitem(sessions.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda self: ["OtherExecutionProvider"])
    with pytest.raises(ProviderError, match=r"got a fallback of ONNX Runtime .* to OtherExecutionProvider"):
        Predictor(models("fc_1"), provider="cuda")


class Wrong:
    """A session on the CPU that calls itself CUDA and answers something else."""

    def __init__(self, session, error):
        self._session, self._error = session, error

    def __getattr__(self, name):
        return getattr(self._session, name)

    def get_providers(self):
        return ["CUDAExecutionProvider"]

    def run(self, names, feeds, options=None):
        if isinstance(self._error, Exception):
            raise self._error
        return [value + np.float32(self._error) for value in self._session.run(names, feeds)]


@pytest.fixture
def wrong_gpu(monkeypatch):
    """A machine whose CUDA provider answers with a given error."""

    def make(error):
        session = sessions._session

        def opened(model, name, provider, options, threads):
            found = session(model, name, "CPUExecutionProvider", {}, threads)
            return found if provider == "CPUExecutionProvider" else Wrong(found, error)

        monkeypatch.setattr(sessions, "_session", opened)
        monkeypatch.setattr(sessions, "missing", lambda provider: "no TensorRT" if "Tensorrt" in provider else "")

    return make


@pytest.mark.parametrize("error", [0.1, np.nan, RuntimeError("no kernel image")], ids=str)
@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_a_provider_that_answers_something_else_is_not_used(error, kind, models, wrong_gpu):
    model = models("w_net", kind)
    wrong_gpu(error)
    with pytest.warns(UserWarning, match=r"cuda is not used, .*: (a difference of (0.1|nan) in prob|no kernel image)"):
        session = sessions.open_session(model.read_bytes())
    assert session.get_providers()[0] == "CPUExecutionProvider"
    with pytest.raises(ProviderError, match="expected cuda to answer as the CPU does, got"):
        Predictor(model, provider="cuda")


def test_a_provider_that_rounds_differently_is_used(models, wrong_gpu):
    wrong_gpu(0.001)
    session = sessions.open_session(models("w_net").read_bytes())
    assert session.get_providers()[0] == "CUDAExecutionProvider"


def test_unknown_providers(models):
    with pytest.raises(ProviderError, match=r"expected auto, tensorrt, cuda, cpu or the full name .*, got 'gpu'"):
        Predictor(models("fc_1"), provider="gpu")
    with pytest.raises(ProviderError, match="built without MadeUpExecutionProvider"):
        Predictor(models("fc_1"), provider="MadeUpExecutionProvider")
    with Predictor(models("fc_1"), provider="CPUExecutionProvider") as predictor:
        assert predictor.provider == "cpu"


def test_the_command_measures_a_file_on_its_recorded_draw(models, trained, command_line):
    status, out, _ = command_line("predict", models("final_model"), "--test", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["accuracy"] == found["recorded"] == load_record(trained("final_model")).accuracy
    model = onnx.load(models("final_model"))
    next(entry for entry in model.metadata_props if entry.key == "test_accuracy").value = "0.123"
    other = models("final_model").with_name("other.onnx")
    onnx.save(model, other)
    status, out, err = command_line("predict", other, "--test")
    assert status == 1
    assert "(recorded 0.1230)" in out
    assert "expected the recorded accuracy" in err


def test_the_command_answers_and_ranks(models, pairs, command_line):
    for name, images in (("pairs", pairs[:12]), ("first", pairs[:12, 0]), ("second", pairs[:12, 1])):
        np.save(f"{name}.npy", images)

    def predict(*arguments, kind="images"):
        status, out, _ = command_line("predict", models("final_model", kind), *arguments, "--json")
        assert status == 0
        return json.loads(out)

    whole, parts, pooled = (
        [each["probability"] for each in predict(*files, kind=kind)["pairs"]]
        for files, kind in (
            (["pairs.npy"], "images"),
            (["first.npy", "second.npy"], "images"),
            (["pairs.npy"], "pairs"),  # the command pools and normalises pictures for this file
        )
    )
    assert parts == whole
    np.testing.assert_allclose(pooled, whole, atol=1e-6)
    for kind in ("images", "pairs"):
        assert sorted(predict("first.npy", "--rank", kind=kind)["order"]) == list(range(12))
    ranking = predict("pairs.npy", "--rank")
    assert (len(ranking["order"]), ranking["names"][-1]) == (24, "pairs.npy[11,1]")
    status, _, err = command_line("predict", models("final_model"), "first.npy")
    assert (status, "expected two files with equal numbers of images" in err) == (2, True)


@pytest.mark.parametrize(
    ("given", "search"), [({}, "HEURISTIC"), ({"cudnn_conv_algo_search": "EXHAUSTIVE"}, "EXHAUSTIVE")]
)
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_convolutions_are_chosen_by_heuristic_unless_asked_otherwise(provider, given, search, models, monkeypatch):
    chosen = []

    def session(content, options, *, providers):
        chosen.extend(providers)
        raise RuntimeError("no GPU here")

    monkeypatch.setattr(sessions, "missing", lambda full: "")
    monkeypatch.setattr(sessions.ort, "InferenceSession", session)
    with pytest.raises(ProviderError):
        sessions.open_session(models("fc_1").read_bytes(), provider, provider_options=given)
    options = dict(chosen)["CUDAExecutionProvider"]
    assert options["cudnn_conv_algo_search"] == (search if provider == "cuda" else "HEURISTIC")
