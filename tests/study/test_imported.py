"""Networks trained elsewhere: what is measured, what the record says, what is kept apart, and what is refused."""

import os
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pairnet.artifact.metadata import TRAINED_HERE
from pairnet.artifact.recorded import recorded_draw
from pairnet.data.drawing import draw
from pairnet.data.pairs import Moments, moments, normalise
from pairnet.errors import ArgumentError, DataError, RecordError
from pairnet.exporting.export import export
from pairnet.models.networks import build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant, find_variant
from pairnet.records.collection import collect
from pairnet.records.elsewhere import Elsewhere
from pairnet.records.folders import WEIGHTS, load_record, newest
from pairnet.records.reading import read_record
from pairnet.records.run import Run
from pairnet.records.seeds import seeds_of_draw
from pairnet.records.settings import by_setting, describe, select
from pairnet.reporting.selection import choose
from pairnet.serving.predictor import Predictor
from pairnet.study.imported import import_and_save, import_weights, save_weights
from pairnet.study.repetition import verify_runs
from pairnet.study.running import run_study
from pairnet.study.saved import evaluate, load_run, train, train_and_save, weights_digest

CONV = find_variant("conv_1")
FOUR = Variant(
    name="four_towers",
    tower="conv(1,48,3) BN conv(48,48,3) BN P(2) conv(48,64,3) BN conv(64,64,3) BN P(2) conv(64,96,3) BN G "
    "fc(96,10) softmax",
    head="order(10)",
)


def run_of(dataset, variant=CONV, **changes):
    return Run(variant=variant, images=dataset.images, pairs=100, **changes)


def state_of(variant=CONV, seed=5):
    """The tensors of a network with statistics that no new network has."""
    state = build(variant, seed=seed).state_dict()
    values = torch.Generator().manual_seed(seed)
    for name in state:
        if name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(state[name].shape, generator=values)
        elif name.endswith(("running_mean", "bias")):
            state[name] = torch.rand(state[name].shape, generator=values) - 0.5
    return {name: value.contiguous() for name, value in state.items()}


def block_diagonal(states):
    """Several towers of order_net_s side by side: each layer has their kernels as blocks, the last one their mean."""
    joined = {}
    for name, wanted in build(FOUR, seed=0).state_dict().items():
        parts = [state[name] for state in states]
        if name.endswith("num_batches_tracked"):
            joined[name] = parts[0]
        elif name == "tower.fc6.weight":
            joined[name] = torch.cat(parts, 1) / len(parts)
        elif name == "tower.fc6.bias":
            joined[name] = torch.stack(parts).mean(0)
        elif wanted.dim() == 4 and wanted.shape[1] > 1:
            joined[name] = torch.zeros_like(wanted).contiguous()
            outputs, inputs = parts[0].shape[:2]
            for at, part in enumerate(parts):
                joined[name][at * outputs : (at + 1) * outputs, at * inputs : (at + 1) * inputs] = part
        else:
            joined[name] = torch.cat(parts)
    return joined


def test_four_towers_as_one_network_answer_as_their_average_in_python_and_as_a_file(glyph_set, tmp_path):
    small = find_variant("order_net_s")
    states = [state_of(small, seed) for seed in range(4)]
    run = run_of(glyph_set, FOUR, seed=2)
    trained, held_out = draw(run, glyph_set)
    result = import_weights(block_diagonal(states), run, glyph_set, origin="four towers averaged")

    logits = []  # [4,n,2,10], of each tower by itself
    pair = torch.from_numpy(normalise(held_out, moments(trained)).pair)
    for state in states:
        network = build(small)
        network.load_state_dict(state)
        with torch.inference_mode():
            logits.append(network.eval().tower[:-1](pair.reshape(-1, 1, 14, 14)).reshape(-1, 2, 10).double().numpy())
    powers = np.exp(np.mean(logits, axis=0))
    p = powers / powers.sum(-1, keepdims=True)
    wanted = np.einsum("ni,nj,ij->n", p[:, 0], p[:, 1], np.triu(np.ones((10, 10))))
    assert result.record.accuracy == np.mean((wanted > 0.5) == (held_out.targets > 0.5))
    assert result.record.parameters == 142_906

    (exported,) = export(result.save(tmp_path / "four"), tmp_path / "four.onnx", dataset=glyph_set)
    assert exported.accuracy == result.record.accuracy
    with Predictor(tmp_path / "four.onnx") as predictor:
        pairs, targets = recorded_draw(predictor.metadata, glyph_set)
        np.testing.assert_allclose(predictor.probability(pairs), wanted, atol=1e-5)
        assert np.array_equal(targets, held_out.targets > 0.5)
        about = predictor.metadata
    assert (about.origin, about.recipe, set(about.versions)) == (
        "trained elsewhere: four towers averaged",
        {},
        {"evaluated", "exported"},
    )


def test_the_record_says_what_is_known_and_no_more(glyph_set, tmp_path):
    variant = replace(CONV, recipe=Recipe(epochs=7, learning_rate=0.5))
    run = run_of(glyph_set, variant, test_pairs=300, seed=3)
    result = import_weights(state_of(), run, glyph_set, origin="own loop")
    record = load_record(result.save(tmp_path / "saved"))
    assert record.epochs == ()
    assert record.run.recipe == Recipe()
    assert record.run.elsewhere == Elsewhere(weights=weights_digest(state_of()), origin="own loop")
    assert record.weights_sha256 == record.run.elsewhere.weights
    assert record.run.name == "conv_1 (trained elsewhere: own loop)"
    assert record.fingerprint != replace(record.run, elsewhere=None).fingerprint  # that an older pairnet computes
    assert record.run.tested == 300
    training, _ = draw(run, glyph_set)
    assert Moments(mean=record.mean, std=record.std) == moments(training)
    assert evaluate(load_run(tmp_path / "saved"), glyph_set) == record.accuracy


def test_mean_and_std_may_be_stated_and_are_part_of_what_was_measured(glyph_set):
    run, state = run_of(glyph_set), state_of()
    drawn = import_weights(state, run, glyph_set)
    same = import_weights(state, run, glyph_set, pixels=drawn.moments)
    other = import_weights(state, run, glyph_set, pixels=Moments(mean=120.0, std=3.0))
    assert same.record.answers_sha256 == drawn.record.answers_sha256 != other.record.answers_sha256
    assert len({each.record.fingerprint for each in (drawn, same, other)}) == 3
    assert (other.record.mean, other.record.std) == (120.0, 3.0)
    assert same.record.run.setting == other.record.run.setting


def test_any_test_draw_can_be_chosen(glyph_set):
    run = run_of(glyph_set, own_seeds=replace(seeds_of_draw(0), train_draw=11, test_draw=22))
    result = import_weights(state_of(), run, glyph_set)
    training, held_out = draw(run, glyph_set)
    assert result.moments == moments(training)
    assert evaluate(result, glyph_set) == result.record.accuracy
    assert evaluate(result, glyph_set, seed=11) == evaluate(
        import_weights(state_of(), run_of(glyph_set, seed=11), glyph_set, pixels=result.moments), glyph_set
    )
    assert len(held_out) == 100


def test_the_counters_of_batches_may_be_missing(glyph_set):
    state = state_of()
    without = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert len(without) < len(state)
    one, other = (import_weights(each, run_of(glyph_set), glyph_set) for each in (state, without))
    assert one.record.fingerprint == other.record.fingerprint


CHANGED = {
    "without layers.conv1.bias:": lambda state: state.pop("layers.conv1.bias"),
    "with unknown fc9.weight:": lambda state: state.update({"fc9.weight": torch.zeros(1)}),
    "expected float32 [10], got float32 [11]": lambda state: state.update({"layers.conv1.bias": torch.zeros(11)}),
    "expected float32 [10], got float16 [10]": lambda state: state.update(
        {"layers.conv1.bias": torch.zeros(10).half()}
    ),
    "expected float32 [10], got float64 [10]": lambda state: state.update(
        {"layers.conv1.bias": torch.zeros(10).double()}
    ),
    "expected finite values, got 1 other:": lambda state: state["layers.conv1.bias"].__setitem__(3, float("nan")),
    "expected finite values, got 10 others:": lambda state: state["layers.conv1.bias"].fill_(float("inf")),
    "expected variances of at least 0, got -1:": lambda state: state["layers.norm1.running_var"].__setitem__(0, -1.0),
    "expected finite answers on its test pairs": lambda state: state["layers.conv1.weight"].fill_(3e38),
}


@pytest.mark.parametrize("message", CHANGED)
def test_weights_that_do_not_fit_are_refused_in_one_line_and_nothing_is_saved(glyph_set, tmp_path, message):
    state = state_of()
    CHANGED[message](state)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ArgumentError) as refused:
        import_and_save(tmp_path / "weights.safetensors", run_of(glyph_set), glyph_set, tmp_path / "runs")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert not (tmp_path / "runs").exists()


def test_other_things_than_weights_are_refused(glyph_set, tmp_path):
    torch.save(state_of(), tmp_path / "state.pt")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(3 << 30)
    refusals = {
        "state.pt": r"pairnet\.save_weights\(network, PATH\)",
        "empty": "safetensors",
        "pipe": "a pipe",
        "large": "3,221,225,472 bytes",
    }
    for name, words in {**refusals, "none": "no such file"}.items():
        with pytest.raises(ArgumentError, match=words):
            import_weights(tmp_path / name, run_of(glyph_set), glyph_set)
    with pytest.raises(ArgumentError, match=r"expected a dense tensor, got list"):
        import_weights({**state_of(), "layers.conv1.bias": [0.0] * 10}, run_of(glyph_set), glyph_set)


@pytest.mark.parametrize("name", ["conv_3", "order_net_xs", "fc_1"])
@pytest.mark.parametrize("given", ["network", "state"])
def test_saved_weights_are_those_of_the_network_whatever_its_layout_in_memory(tmp_path, name, given):
    network, path = build(find_variant(name), seed=3), tmp_path / "mine.safetensors"
    kernels = [each for each in network.state_dict().values() if each.dim() == 4]
    assert not all(each.is_contiguous() for each in kernels) or not kernels  # else there is nothing to show
    save_weights(network if given == "network" else network.state_dict(), path)
    assert weights_digest(load_file(path)) == weights_digest(network.state_dict())
    with pytest.raises(ArgumentError, match=r"expected a new file, got .*mine\.safetensors, which exists"):
        save_weights(network, path)
    other = build(find_variant(name), seed=4)
    save_weights(other, path, force=True)
    assert weights_digest(load_file(path)) == weights_digest(other.state_dict())


def test_a_damaged_file_is_read_or_refused_in_one_line(glyph_set, tmp_path):
    path, chance = tmp_path / "weights.safetensors", random.Random(0)
    save_file(state_of(), path)
    good, messages = path.read_bytes(), []
    header = 8 + int.from_bytes(good[:8], "little")
    for _ in range(100):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(header if chance.random() < 0.8 else len(good))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice((len(good), chance.randrange(len(good))))])
        try:
            import_weights(path, run_of(glyph_set), glyph_set)
        except ArgumentError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(message.isprintable() and len(message) < 500 for message in messages)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"origin": "two\nlines"}, "origin"),
        ({"origin": "[red]"}, "origin"),
        ({"origin": "x" * 101}, "origin"),
        ({"pixels": Moments(mean=float("nan"), std=1.0)}, "mean"),
        ({"pixels": Moments(mean=0.0, std=0.0)}, "std"),
    ],
)
def test_what_is_said_of_it_is_checked(glyph_set, changes, words):
    with pytest.raises(ArgumentError, match=words):
        import_weights(state_of(), run_of(glyph_set), glyph_set, **changes)


def test_other_images_and_folds_are_refused(glyph_set):
    other = replace(glyph_set.images, checksum="f" * 64)
    with pytest.raises(DataError):
        import_weights(state_of(), replace(run_of(glyph_set), images=other), glyph_set)
    with pytest.raises(ArgumentError, match="fold"):
        import_weights(state_of(), run_of(glyph_set, fold=1), glyph_set)


@pytest.fixture(scope="module")
def both(glyph_set, tmp_path_factory):
    """A folder with a run of pairnet and the same structure trained elsewhere, for the same draw."""
    runs = tmp_path_factory.mktemp("both")
    one = replace(CONV, recipe=Recipe(epochs=1))
    trained = train_and_save(run_of(glyph_set, one), glyph_set, runs)
    save_file(state_of(), runs / "own.safetensors")
    own = import_and_save(runs / "own.safetensors", run_of(glyph_set, one), glyph_set, runs, origin="own loop")
    return runs, trained, own


def test_the_same_weights_are_saved_once(glyph_set, both):
    runs, _, own = both
    again = import_and_save(runs / "own.safetensors", run_of(glyph_set), glyph_set, runs, origin="own loop")
    assert (again.fresh, again.folder) == (False, own.folder)


def test_a_row_has_one_network_for_each_draw(glyph_set, both, tmp_path):
    runs = both[0]
    with pytest.raises(ArgumentError, match="got that of draw 0"):
        import_and_save(runs / "own.safetensors", run_of(glyph_set, seed=1), glyph_set, runs, origin="own loop")
    save_file(state_of(seed=6), tmp_path / "other.safetensors")
    with pytest.raises(ArgumentError, match="one network of this origin for draw 0"):
        import_and_save(tmp_path / "other.safetensors", run_of(glyph_set), glyph_set, runs, origin="own loop")
    copy = shutil.copytree(runs, tmp_path / "runs")
    for seed, origin in ((1, "own loop"), (0, "another loop")):
        path = tmp_path / "other.safetensors"
        assert import_and_save(path, run_of(glyph_set, seed=seed), glyph_set, copy, origin=origin).fresh
    rows = by_setting([record for record in collect(copy).records.values() if record.run.elsewhere])
    assert sorted(map(len, rows.values())) == [1, 2]
    assert len(set(describe(list(rows)))) == 2


def test_runs_of_pairnet_and_others_are_never_put_together(glyph_set, both):
    runs, trained, own = both
    records = list(collect(runs).records.values())
    assert len(by_setting(records)) == len(records) == 2
    assert select(records, row="conv_1", epochs=None) == [trained.record]
    assert select(records, epochs=25) == []
    assert select(records, row="conv_1 (trained elsewhere: own loop)") == [own.record]
    assert select([own.record], row="conv_1") == [own.record]
    assert "trained elsewhere" in describe([own.record.run.setting])[0]
    page = choose(records)
    assert page.records == [trained.record]
    assert any("conv_1 (trained elsewhere: own loop)" in line for line in page.left_out)
    with pytest.raises(RecordError, match="trained elsewhere"):
        choose([own.record])
    with pytest.raises(RecordError, match="cannot be repeated"):
        verify_runs(records)
    found = newest(runs, CONV)
    assert found.newest == (trained.folder, trained.record)
    assert (found.fitting, len(found.elsewhere)) == (1, 1)


def test_it_cannot_be_trained_or_studied(glyph_set, both, tmp_path):
    run = both[2].record.run
    with pytest.raises(ArgumentError, match="expected a run to train"):
        train(run, glyph_set)
    with pytest.raises(ArgumentError, match="expected a run to train"):
        run_study([run], glyph_set, tmp_path)


def test_altered_weights_stay_refused(both, tmp_path):
    for saved in both[1:]:
        folder = shutil.copytree(saved.folder, tmp_path / saved.folder.name)
        state = load_file(folder / WEIGHTS)
        state["layers.conv1.bias"] += 1
        save_file(state, folder / WEIGHTS, metadata={"fingerprint": saved.record.fingerprint})
        with pytest.raises(RecordError, match="they were changed; train the run again"):
            load_run(folder)


@pytest.mark.parametrize("kept", ["epochs", "weights", "mean"])
def test_a_record_that_contradicts_its_origin_is_refused(both, kept):
    _, trained, own = both
    changed = {
        "epochs": {"epochs": trained.record.epochs},
        "weights": {"weights_sha256": "0" * 64},
        "mean": {"run": (run := replace(own.record.run, elsewhere=stated())), "fingerprint": run.fingerprint},
    }[kept]
    text = replace(own.record, **changed).to_json()
    with pytest.raises(RecordError, match=kept):
        read_record(text)
    assert read_record(own.record.to_json()) == own.record
    with pytest.raises(RecordError, match="epochs"):
        read_record(replace(trained.record, epochs=()).to_json())


def stated():
    return Elsewhere(weights=weights_digest(state_of()), origin="own loop", mean=1.0, std=2.0)


def test_a_file_of_pairnet_says_so(glyph_set, both, tmp_path):
    export(both[1].folder, tmp_path / "m.onnx", dataset=glyph_set)
    with Predictor(tmp_path / "m.onnx") as predictor:
        assert predictor.metadata.origin == TRAINED_HERE


@pytest.mark.parametrize(
    "changes", [{"mean": 255.5, "std": 1.0}, {"mean": 1.0, "std": 255.5}, {"mean": -0.5, "std": 1.0}]
)
def test_grey_levels_of_a_network_are_from_0_to_255(changes):
    assert Elsewhere(weights="f" * 64, mean=255.0, std=255.0).mean == 255
    with pytest.raises(ArgumentError, match="in grey levels"):
        Elsewhere(weights="f" * 64, **changes)
