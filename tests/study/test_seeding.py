"""Seeds of studies: draws from any number, streams that are held, crossed designs; and which records belong to them."""

import itertools
from dataclasses import replace

import pytest
from record_examples import IMAGES, record
from reporting.studies import MNIST, rows

from pairnet.data.drawing import draw
from pairnet.errors import ArgumentError
from pairnet.models.variants import find_variant
from pairnet.records.seeds import seeds_of_draw
from pairnet.records.settings import by_setting, describe
from pairnet.reporting.selection import choose
from pairnet.study.engines.processes import Processes
from pairnet.study.engines.stacked import Stacked
from pairnet.study.files import read_study
from pairnet.study.kept import keep_file, kept_studies
from pairnet.study.plan import Row, Study, plan
from pairnet.study.running import run_study
from pairnet.study.seeding import STREAMS, Seeding

ROW = '\n[[rows]]\nvariant = "final_model"\n'
SEEDINGS = (
    Seeding(),
    Seeding(first=7),
    Seeding(listed=(3, 11, 4)),
    *(Seeding(hold=held) for count in (1, 2, 3) for held in itertools.combinations(STREAMS[:-1], count)),
    Seeding(hold=("masks",), first=2),
    Seeding(hold=("pairs", "masks"), listed=(5, 9)),
    Seeding(vary=(("pairs", 2), ("weights", 3))),
    Seeding(vary=(("order", 2), ("test", 2), ("masks", 2)), first=4),
)


@pytest.fixture
def read(tmp_path):
    def study(text, name="my"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text + ROW)
        return read_study(path)

    return study


def runs_of(seeding, draws=3, variant="final_model"):
    study = Study(name="s", title="s", rows=(Row(label="r", variant=find_variant(variant)),), seeding=seeding)
    return plan(study, IMAGES, draws=seeding.count or draws)


def test_without_a_word_about_seeds_a_study_is_what_it_was(read):
    usual, stated = read("draws = 3"), read("draws = 3\nfirst_seed = 0\nhold = []")
    assert usual.digest == stated.digest == replace(usual, seeding=Seeding()).digest
    assert [run.seeds for run in plan(usual, IMAGES)] == [seeds_of_draw(number) for number in range(3)]
    assert all(run.own_seeds is None for run in plan(usual, IMAGES))


def test_draws_begin_at_a_number_or_are_listed(read):
    assert [run.draw for run in plan(read("draws = 2\nfirst_seed = 100"), IMAGES)] == [(100,), (101,)]
    listed = read("seeds = [8, 3, 21]")
    assert [run.draw for run in plan(listed, IMAGES)] == [(8,), (3,), (21,)]
    assert [run.draw for run in plan(listed, IMAGES, draws=2)] == [(8,), (3,)]
    with pytest.raises(ArgumentError, match="`draws` of at most 3, the number of `seeds`, got 4"):
        plan(listed, IMAGES, draws=4)
    assert [run.draw for run in plan(read("draws = 2"), IMAGES, first_seed=9)] == [(9,), (10,)]


@pytest.mark.parametrize("seeding", SEEDINGS, ids=str)
def test_a_stream_that_is_held_is_the_same_in_all_runs_and_the_others_are_not(seeding):
    runs = runs_of(seeding)
    names = {"pairs": "train_draw", "test": "test_draw", "weights": "weights", "order": "order"}
    varied = {name for name, _ in seeding.vary} if seeding.vary else set(STREAMS) - set(seeding.hold)
    for stream, name in names.items():
        levels = len({getattr(run.seeds, name) for run in runs})
        assert levels == (dict(seeding.vary).get(stream, len(runs)) if stream in varied else 1)
    masks = len({run.seeds.weights if run.seeds.masks is None else run.seeds.masks for run in runs})
    follow = "masks" not in (*seeding.hold, *dict(seeding.vary))
    apart = 1 if "masks" in seeding.hold else dict(seeding.vary).get("masks")
    assert masks == (len({run.seeds.weights for run in runs}) if follow else apart)
    assert len({run.fingerprint for run in runs}) == len({run.draw for run in runs}) == len(runs)


@pytest.mark.parametrize("seeding", SEEDINGS, ids=str)
def test_a_seeding_includes_its_own_runs_and_of_the_others_those_with_the_same_seeds(seeding):
    own = {run.fingerprint for run in runs_of(seeding, 12)}
    for other in SEEDINGS:
        for run in runs_of(other, 4):
            assert seeding.includes(run) == (run.fingerprint in own)


def test_a_crossed_design_has_each_combination_once_and_shares_runs_with_draws():
    runs = runs_of(Seeding(vary=(("pairs", 3), ("weights", 2), ("order", 2))))
    assert [(run.seeds.train_draw, run.seeds.weights, run.seeds.order) for run in runs] == [
        (2 * pairs, weights, order) for pairs in range(3) for weights in range(2) for order in range(2)
    ]
    assert {run.seeds.test_draw for run in runs} == {1}
    assert runs[0].fingerprint == runs_of(Seeding())[0].fingerprint  # draw 0, whatever study computed it first
    assert runs[0].repetition == "draw 0"
    assert runs[-1].repetition == "pairs 2, test 0, weights 1, order 1"


def test_runs_of_one_fingerprint_are_one_repetition_whatever_study_they_are_from():
    held, crossed = Seeding(hold=("pairs", "test")), Seeding(vary=(("weights", 4), ("order", 4)))
    same = {run.fingerprint: run.draw for run in runs_of(held, 4)}
    shared = {run.fingerprint: run.draw for run in runs_of(crossed) if run.fingerprint in same}
    assert shared == same
    assert len(shared) == 4


def test_runs_of_held_seeds_are_not_draws_of_the_setting():
    plain, held = runs_of(Seeding())[1], runs_of(Seeding(hold=("pairs",)))[1]
    assert plain.setting != held.setting == held.setting.setting
    records = [record(run=run) for run in (plain, held)]
    assert [len(found) for found in by_setting(records).values()] == [1, 1]
    assert describe([plain.setting, held.setting])[1].endswith(", seeds held apart")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("first_seed = -1", "first_seed: "),
        ("first_seed = 1.5", "first_seed: "),
        ("seeds = []", r"seeds: expected a list of numbers, got an empty one: write \[7, 8, 9\]"),
        ("seeds = [1, 1]", "seeds: expected different values, got one twice"),
        ("seeds = [1]\ndraws = 1", "seeds: expected `draws` or `seeds`, got both: remove `draws`"),
        ("seeds = [1]\nfirst_seed = 1", "expected `first_seed` or `seeds`, got both"),
        ('hold = ["weight"]', r"hold.weight: expected a known key: did you mean weights\?"),
        ('hold = "pairs"', "hold: expected "),
        ('hold = ["pairs", "test", "weights", "order"]', "hold: expected a stream that is not held"),
        ("vary = { pairs = 1 }", "vary.pairs: "),
        ("vary = { pair = 2 }", r"vary.pair: expected a known key: did you mean pairs\?"),
        ("vary = {}", "vary: expected numbers of streams, got none: write"),
        ("vary = 5", "vary: expected numbers of streams"),
        ("vary = { pairs = 200, weights = 200 }", "vary: expected at most 10,000 runs of a row"),
        ('vary = { pairs = 2 }\nhold = ["test"]', "expected `hold` or `vary`, got both: remove `hold`"),
        ("vary = { pairs = 2 }\ndraws = 2", "expected `draws` or `vary`, got both: remove `draws`"),
        ("vary = { pairs = 2 }\nseeds = [2]", "expected `seeds` or `vary`, got both: write first_seed"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(read, text, reason):
    with pytest.raises(ArgumentError, match=reason) as error:
        read(text)
    assert len(str(error.value).splitlines()) == 1


def test_the_number_of_draws_of_a_crossed_design_is_its_own(read):
    study = read("vary = { pairs = 3, order = 2 }")
    assert len(plan(study, IMAGES)) == 6
    with pytest.raises(ArgumentError, match="all 6 combinations of a crossed design, got `draws` 2"):
        plan(study, IMAGES, draws=2)


def test_test_pairs_of_cross_validated_rows_are_not_varied(read):
    study = read("vary = { pairs = 2, test = 2 }\ncross_validated = true")
    with pytest.raises(ArgumentError, match="to vary `test`, got cross-validated ones: vary `pairs`"):
        plan(study, IMAGES)


def test_studies_of_other_seeds_are_other_studies_and_more_levels_are_not(read, tmp_path):
    texts = ("draws = 2", "first_seed = 5", "seeds = [1, 2]", 'hold = ["pairs"]', "vary = { pairs = 2 }")
    studies = [read(text) for text in texts]
    assert len({study.digest for study in studies}) == len(texts)
    assert read("vary = { pairs = 3 }").digest == studies[-1].digest
    for text in texts:
        keep_file(read(text), tmp_path / "runs")
    assert {study.seeding for study in kept_studies(tmp_path / "runs")} == {study.seeding for study in studies}


@pytest.mark.parametrize("engine", [Processes, Stacked])
def test_every_engine_holds_the_streams_that_a_study_holds(glyph_set, tmp_path, engine):
    variant = find_variant("final_model")
    study = Study(
        name="s",
        title="s",
        rows=(Row(label="r", variant=variant),),
        seeding=Seeding(vary=(("pairs", 2), ("weights", 2), ("masks", 2))),
    )
    runs = plan(study, glyph_set.images, epochs=1, pairs=50)
    options = {"workers": 2} if engine is Processes else {}
    records = run_study(runs, glyph_set, tmp_path, engine=engine(dataset=glyph_set, **options)).finished
    assert len({each.answers_sha256 for each in records}) == 8
    assert len({each.mean for each in records}) == 2  # of the pixels: it follows from the training pairs
    (first, *others) = (draw(each.run, glyph_set) for each in records)
    assert all((each[1].indices == first[1].indices).all() for each in others)  # one test draw


def test_a_report_takes_draws_for_its_tables_and_of_a_study_its_own_seeds(read):
    draws = rows("3", {"final_model": (0.90, 0.91, 0.92)}, images=MNIST)
    held = read('hold = ["pairs"]', "held")
    apart = [
        record(run.seed, label="final_model", variant=run.variant, images=MNIST, own_seeds=run.own_seeds, accuracy=0.8)
        for run in plan(held, MNIST, draws=4)
    ]
    mixed = [*draws, *apart[1:]]  # the first run is draw 0
    alone = choose(mixed)
    assert [table.study.name for table in alone.tables] == ["3"]
    assert len(alone.tables[0].rows["final_model"]) == 3
    assert alone.others == {}
    (line,) = alone.left_out
    assert line.startswith("3 runs of final_model: seeds held apart, of no study on this page; `pairnet report runs`")
    both = choose(mixed, own=[held])
    assert {table.study.name: len(table.rows["final_model"]) for table in both.tables[:1]} == {"held": 4}
    assert both.others == {}
    later = read("first_seed = 1", "later")
    (table, *_) = choose(draws, own=[later]).tables
    assert sorted(each.run.seed for each in table.rows["final_model"]) == [1, 2]
