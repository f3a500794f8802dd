"""Budgets of time, with a clock that only an engine moves: what is computed, what is left, and what comes later."""

from dataclasses import dataclass, field, replace

import pytest
from record_examples import EPOCH, record

from pairnet.errors import ArgumentError
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study import budget
from pairnet.study.events import Finished, Started
from pairnet.study.plan import Row, Study, plan
from pairnet.study.running import Kept, run_study

TWO = Study(
    name="two",
    title="two",
    rows=tuple(Row(label=name, variant=find_variant(name), paper=None) for name in ("fc_1", "conv_1")),
)


@dataclass
class Clock:
    """The time, in seconds."""

    now: float = 0.0

    def __call__(self):
        return self.now


@dataclass
class Fake:
    """An engine that computes nothing: each run takes `seconds`, or what `seconds` says for the number of its draw."""

    clock: Clock
    seconds: object
    name: str = "fake"
    chunks: list[list[Run]] = field(default_factory=list)

    def run(self, runs):
        self.chunks.append(list(runs))
        for run in runs:
            yield Started(run=run)
            self.clock.now += self.seconds(run.seed) if callable(self.seconds) else self.seconds
            yield Finished(run=run, record=record_of(run))

    @property
    def draws(self):
        """The draws of each chunk."""
        return [sorted({run.seed for run in chunk}) for chunk in self.chunks]


def record_of(run):
    made = record(epochs=(EPOCH,) * run.recipe.epochs, pairs=run.pairs, test_pairs=run.test_pairs)
    return replace(made, run=run, fingerprint=run.fingerprint)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budget, "monotonic", clock)
    return clock


@pytest.fixture
def study(glyph_set, tmp_path, clock):
    """Runs TWO for some minutes -> (result, engine)."""

    def run(minutes, seconds=30, draws=10, table=TWO, **options):
        engine = Fake(clock, seconds)
        runs = plan(table, glyph_set.images, draws=draws, epochs=2, pairs=40)
        result = run_study(runs, glyph_set, tmp_path, engine=engine, minutes=minutes, **options)
        return result, engine

    return run


def test_as_many_whole_draws_as_fit_are_computed_and_the_others_are_left(study, clock):
    result, engine = study(minutes=5.5)  # a draw takes one minute
    assert engine.draws == [[0], [1, 2], [3], [4]]
    assert clock.now == 5 * 60
    assert [record is None for record in result.records] == [False] * 10 + [True] * 10
    assert {run.seed for run in result.left} == {5, 6, 7, 8, 9}
    assert len(result.left) == 10
    assert result.failures == ()


def test_without_a_limit_an_engine_gets_everything_at_once(study):
    result, engine = study(minutes=None)
    assert engine.draws == [[*range(10)]]
    assert result.left == ()


@pytest.mark.parametrize("minutes", [1e-6, 0.5, 1.0, 1.99])
def test_one_draw_is_always_computed_and_no_other_begins_that_does_not_fit(study, minutes):
    result, engine = study(minutes=minutes)
    assert engine.draws == [[0]]
    assert len(result.finished) == 2


def test_a_draw_that_just_fits_is_computed(study, clock):
    assert study(minutes=2.0)[1].draws == [[0], [1]]
    assert clock.now == 120


def test_a_wrong_estimate_is_corrected(study, clock):
    """Draws that take ever longer: half of the time left leaves room for the surprise."""
    _, engine = study(minutes=10, seconds=lambda seed: 15 if seed == 0 else 30, draws=100)
    assert engine.draws == [[0], [*range(1, 10)]]  # nine half-minute draws were expected to fill half of 9.5 minutes
    assert clock.now <= 10 * 60


def test_faster_draws_than_the_first_are_all_computed(study, clock):
    """The first draw pays for the start of an engine."""
    result, engine = study(minutes=10, seconds=lambda seed: 60 if seed == 0 else 3, draws=60)
    assert result.left == ()
    assert len(engine.draws) > 2
    assert clock.now < 10 * 60


def test_the_same_call_continues_and_kept_draws_cost_nothing(study, clock):
    first, _ = study(minutes=3.5)
    assert clock.now == 180
    events = []
    second, engine = study(minutes=3.5, on_event=events.append)
    assert engine.draws == [[3], [4], [5]]
    assert sum(isinstance(event, Kept) for event in events) == 6
    assert second.records[:6] == first.records[:6]
    assert {run.seed for run in second.left} == {6, 7, 8, 9}
    rest, _ = study(minutes=None)
    assert rest.left == ()
    nothing, engine = study(minutes=1)
    assert (engine.chunks, nothing.left) == ([], ())


def test_a_draw_of_which_some_runs_are_kept_says_less_about_the_next(study, glyph_set, tmp_path, clock):
    half = plan(TWO, glyph_set.images, draws=1, epochs=2, pairs=40)[:1]
    run_study(half, glyph_set, tmp_path, engine=Fake(clock, 30))
    clock.now = 0.0
    _, engine = study(minutes=1.4)  # half a draw in half a minute: a whole one would not fit into the 0.9 minutes left
    assert [len(chunk) for chunk in engine.chunks] == [1]


def test_the_folds_of_a_draw_stay_together(study):
    result, engine = study(minutes=9, table=replace(TWO, cross_validated=True))  # four minutes a draw
    assert engine.draws == [[0], [1]]
    assert [len(chunk) for chunk in engine.chunks] == [8, 8]
    assert len(result.left) == 8 * 8


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_must_be_finite_and_above_0(study, tmp_path, minutes):
    with pytest.raises(ArgumentError, match="expected `minutes` to be a finite number above 0, got"):
        study(minutes=minutes)
    assert list(tmp_path.iterdir()) == []


def test_a_record_with_fewer_measurements_is_left_until_it_is_measured_as_asked(glyph_set, tmp_path, clock):
    few = plan(TWO, glyph_set.images, draws=2, epochs=3, pairs=40, measurements=1)
    often = plan(TWO, glyph_set.images, draws=2, epochs=3, pairs=40, measurements=None)

    class Once(Fake):
        def run(self, runs):
            for event in super().run(runs):
                if isinstance(event, Finished):  # its record has one measurement
                    unmeasured = replace(EPOCH, validation_loss=None, validation_accuracy=None)
                    epochs = (*[unmeasured] * (len(event.record.epochs) - 1), EPOCH)
                    event = replace(event, record=replace(event.record, epochs=epochs))
                yield event

    run_study(few, glyph_set, tmp_path, engine=Once(clock, 60))
    result = run_study(often, glyph_set, tmp_path, engine=Fake(clock, 60), minutes=1)
    assert [found and found.measurements for found in result.records] == [3, 3, None, None]
    assert list(result.left) == often[2:]
    assert run_study(few, glyph_set, tmp_path, engine=Fake(clock, 60)).left == ()


def test_studies_share_the_time_left_equally(clock):
    shares = []
    for minutes, used in zip(budget.limits(15, 4), (1.5, 4.5, 12, 1), strict=True):
        shares.append(minutes)
        clock.now += 60 * used
    assert shares[:3] == [3.75, 4.5, 4.5]  # the first study took less than its share: the others get more
    budget.check_minutes(shares[3])  # no time is left: still a valid limit, of a single draw
    assert shares[3] < 1e-3
    assert list(budget.limits(None, 2)) == [None, None]
