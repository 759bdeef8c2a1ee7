"""The forecast: its design, its law on simulated runs, and short runs of digits."""

import math
import types

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources
from keras_kd.auto import Forecast, Run
from keras_kd.auto._candidates import Candidate
from keras_kd.auto._data import data_of
from keras_kd.auto._files import Fitting
from keras_kd.auto._forecasting._design import design, information
from keras_kd.auto._forecasting._forecast import chance_of, pairs
from keras_kd.auto._forecasting._law import Law, Seen, fit, forms, left_out
from keras_kd.auto._forecasting._prune import prune
from keras_kd.auto._task import task_of
from keras_kd.auto._training import Trainer
from keras_kd.auto._trials import Trial
from tests.auto.test_parts import blobs, perfect

pytest.importorskip("scipy")
SIZES = (600, 1200, 2400)
POWERS = (0.5, 0.6, 0.7)


# The design.


def test_a_design_has_the_largest_corner_and_varies_all_three():
    points = design(8, SIZES, (50, 800), (2, 16), seed=3)
    assert points[0] == (2, 800, 16) and len(set(points)) == 8
    assert points == design(8, SIZES, (50, 800), (2, 16), seed=3)
    assert points != design(8, SIZES, (50, 800), (2, 16), seed=4)
    logs = np.log([(SIZES[place], n, e) for place, n, e in points])
    assert (np.ptp(logs, axis=0) > 0.7 * np.log([4, 16, 8])).all()
    assert all(abs(c) < 0.8 for c in np.corrcoef(logs.T)[np.triu_indices(3, 1)])


def test_a_design_tells_more_than_points_drawn_at_random():
    found = [(SIZES[place], n, e) for place, n, e in design(8, SIZES, (50, 800), (2, 16), 0)]
    rng = np.random.default_rng(0)
    drawn = [
        information(np.exp(rng.uniform(np.log([600, 50, 2]), np.log([2400, 800, 16]), (8, 3))))
        for _ in range(200)
    ]
    assert information(found) > np.quantile(drawn, 0.95)


# The law, on runs that are simulated.


def simulated(points, rng, powers=POWERS, floor=0.05, gain=0.0, scatter=0.0, level=0.1):
    """`log g` of pairs by a product above a floor, at points less the largest."""
    above = math.log(level) - points @ np.array(powers)
    both = np.logaddexp(math.log(floor), np.column_stack([above, above - gain]))
    shared, apart = rng.normal(size=(2, len(points))) * scatter
    return both + shared[:, None] + apart[:, None] * np.array([0.3, -0.3])


def designed(seed, runs=8):
    logs = np.log(
        [(SIZES[place], n, e) for place, n, e in design(runs, SIZES, (50, 800), (2, 16), seed)]
    )
    return logs - logs.max(axis=0)


def test_a_known_law_is_found_again():
    rng, points = np.random.default_rng(0), designed(0, runs=10)
    y = simulated(points, rng, gain=0.3, scatter=0.01)
    law = fit(forms(math.log(0.06), y[:, 0].min())[0], Seen(points, y, np.full(10, 1e-5)), 0)
    np.testing.assert_allclose(np.median(law.powers(), axis=0), POWERS, atol=0.12)
    assert (np.quantile(law.powers(), 0.02, axis=0) < POWERS).all()
    assert (np.quantile(law.powers(), 0.98, axis=0) > POWERS).all()
    far = np.log([4.0, 8.0, 4.0])
    told = np.quantile(law.draws(far, rng), [0.05, 0.95], axis=0)
    truth = simulated(far[None], rng, gain=0.3)[0]
    assert (told[0] < truth).all() and (truth < told[1]).all()
    assert (told[1] - told[0] < 0.6).all()  # and it says something


def test_intervals_hold_what_they_say_they_hold():
    """Fifty laws, each seen by eight pairs of runs; then one larger pair of runs of each."""
    inside = 0
    for number in range(50):
        rng = np.random.default_rng(number)
        law = {
            "powers": rng.uniform(0.1, 1.0, 3), "floor": 0.06 * np.exp(rng.normal(-0.3, 0.4)),
            "gain": rng.normal(0, 0.3), "scatter": 0.1 * np.exp(rng.normal(0, 0.4)),
            "level": rng.uniform(0.03, 0.3),
        }  # fmt: skip
        points = designed(number % 5)
        y = simulated(points, rng, **law)
        form = forms(math.log(0.06), y[:, 0].min())[0]
        fitted = fit(form, Seen(points, y, np.full(8, 0.001)), 0)
        larger = np.log(rng.uniform(1, 4, 3))
        low, high = np.quantile(fitted.draws(larger, rng), [0.05, 0.95], axis=0)
        truth = simulated(larger[None], rng, **law)[0]
        inside += int(((low < truth) & (truth < high)).sum())
    assert 0.8 <= inside / 100 <= 0.98  # of 150 laws .887


def test_a_new_run_scatters_as_the_runs_did():
    form = forms(math.log(0.06), 0.0)[0]
    constants = np.tile([*form.means[:-2], math.log(0.2), math.log(0.1)], (20_000, 1))
    drawn = Law(form, constants).draws(np.zeros(3), np.random.default_rng(0))
    assert drawn.mean(axis=1).std() == pytest.approx(0.2, rel=0.05)
    assert (drawn[:, 0] - drawn[:, 1]).std() == pytest.approx(0.1, rel=0.05)


def test_of_two_laws_the_one_that_the_runs_follow_is_the_likelier():
    rng, points = np.random.default_rng(1), designed(1, runs=10)
    product, total = forms(math.log(0.06), -1.0)
    seen = Seen(points, simulated(points, rng, scatter=0.03), np.full(10, 1e-4))
    assert left_out(product, seen, 0) > left_out(total, seen, 0)
    parts = np.exp(-3.0 * points) @ np.array([0.02, 0.02, 0.04])
    apart = np.log(0.05 + parts)[:, None] + rng.normal(size=(10, 2)) * 0.02
    seen = Seen(points, apart, np.full(10, 1e-4))
    assert left_out(total, seen, 0) > left_out(product, seen, 0)


# What a forecast says.


def runs_of(gain=0.3, floor=0.04, runs=8, ways=(False, True), chance=0.9, seed=2):
    found = []
    for place, n, e in design(runs, SIZES, (50, 800), (2, 16), seed):
        point = np.log([SIZES[place], n, e]) - np.log([SIZES[-1], 800, 16])
        g = np.exp(simulated(point[None], np.random.default_rng(0), gain=gain, floor=floor))[0]
        for distilled in ways:
            error = 1 / (1 / chance + 1 / g[int(distilled)])
            found.append(Run(f"width {place}", SIZES[place], n, e, distilled, float(error)))
    return tuple(found)


@pytest.fixture(scope="module")
def told():
    return Forecast(runs_of(), "accuracy", chance=0.9, teacher=0.05, tested=2000)


AT = {"size": 4800, "examples": 1600, "epochs": 16}


def test_predictions_lie_about_the_truth_and_widen_with_level_and_distance(told):
    point = np.log([2, 2, 1])
    g = np.exp(simulated(point[None], np.random.default_rng(0), gain=0.3, floor=0.04))[0]
    for distilled in (False, True):
        found = told.predict(**AT, distilled=distilled)
        truth = 1 - 1 / (1 / 0.9 + 1 / g[int(distilled)])
        assert found.low < truth < found.high and found.level == 0.9
        assert found.value == pytest.approx(truth, abs=0.015)
    wider = told.predict(**AT, level=0.99)
    assert wider.low < told.predict(**AT).low and wider.high > told.predict(**AT).high
    assert told.predict(**AT) == told.predict(**AT)
    nothing = told.predict(size=10, examples=2, epochs=1)
    assert nothing.value == pytest.approx(0.1, abs=0.02)  # guessing, and no worse
    assert str(found).startswith(f"{found.value:.4f} ({found.low:.4f} to ")


def test_validation_data_that_are_few_make_wide_intervals(told):
    few = Forecast(told.runs, "accuracy", chance=0.9, teacher=0.05, tested=100)
    narrow, wide = told.predict(**AT), few.predict(**AT)
    sampled = 2 * 1.645 * math.sqrt(2 * 0.07 * 0.93 / 100)
    assert wide.high - wide.low > narrow.high - narrow.low
    assert wide.high - wide.low > 0.9 * sampled


def test_where_distilling_stops_being_worth_it(told):
    gain = told.gain(**{**AT, "examples": 100})
    assert gain.low > 0 and told.gain(**{**AT, "examples": 500_000}).low <= 0
    until = told.worth_until()
    assert 800 < until < 800_000
    assert told.worth_until("examples", size=600) >= until / 2
    none = Forecast(runs_of(gain=0.0), "accuracy", chance=0.9, teacher=0.05, tested=2000)
    assert none.worth_until() is None
    assert "it can" in " ".join(none.summary()) or "be told" in " ".join(none.summary())


def test_a_forecast_is_written_and_read_again(told, tmp_path):
    told.save(tmp_path / "forecast.json")
    again = Forecast.load(tmp_path / "forecast.json")
    assert again == told and again.predict(**AT) == told.predict(**AT)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no file that Forecast\.save wrote"):
        Forecast.load(tmp_path / "other.json")


def test_what_it_prints_and_draws(told, tmp_path):
    pytest.importorskip("matplotlib")
    text = str(told)
    assert "8 points" in text and "accuracy of the teacher 0.9500" in text
    assert told.law in text and text.count("width ") == 8
    figure = told.plot(tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000 and len(figure.axes) == 6
    assert set(told.exponents) == {"size", "examples", "epochs"}
    formulas = {form.name: form.formula for form in forms(-2.0, -2.0)}
    assert told.likelihoods.keys() == formulas.keys()
    assert told.law == formulas[max(told.likelihoods, key=told.likelihoods.get)]


def test_a_teacher_that_is_worse_than_a_student_is_told():
    bad = Forecast(runs_of(), "accuracy", chance=0.9, teacher=0.4, tested=2000)
    assert any("worse than a student of these runs alone" in line for line in bad.summary())


@pytest.mark.parametrize(
    "call, told_of",
    [
        (lambda f: f.predict(**{**AT, "size": 0}), "`size` must be a number above 0"),
        (lambda f: f.predict(**{**AT, "epochs": math.inf}), "`epochs` must be a number above 0"),
        (lambda f: f.gain(**{**AT, "examples": "1k"}), "`examples` must be a number above 0"),
        (lambda f: f.predict(**AT, level=90), "`level` must lie between 0 and 1"),
        (lambda f: f.worth_until("width"), "`axis` must be 'size', 'examples' or 'epochs'"),
        (lambda f: f.worth_until("size", size=3), "the one that is not given"),
        (lambda f: Forecast(f.runs[:6], "accuracy", 0.9, 0.1, 200), "4 points or more.*Received 3"),
    ],
)
def test_what_it_cannot_say(told, call, told_of):
    with pytest.raises(ValueError, match=told_of):
        call(told)


def test_the_error_of_guessing():
    assert chance_of("classification", np.array([0, 1, 1, 1])) == 0.25
    assert chance_of("multi_label", np.array([[0, 1], [0, 1], [1, 1], [0, 0]])) == 0.5
    assert chance_of("regression", np.array([[0.1], [2.0]])) == 1.0


# Runs.


def build(width):
    return kd.students.mlp((8, 8, 1), 10, units=(max(1, round(16 * width)),))


@pytest.fixture(scope="module")
def digits():
    keras.utils.set_random_seed(0)
    data = kd.data.load("digits", validation=0.2)
    teacher = kd.students.mlp((8, 8, 1), 10, units=(64,))
    teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    teacher.fit(*data.train, epochs=10, verbose=0)
    return teacher, data


QUICK = {"students": build, "sizes": (0.25, 1.0), "examples": (60, 240), "epochs": (2, 6),
         "runs": 6}  # fmt: skip


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast") / "run"
    return kd.auto.forecast(*digits, **QUICK, folder=folder), folder


def test_runs_of_digits_make_a_forecast(made):
    forecast, folder = made
    assert len(forecast.runs) == 12 and len(pairs(forecast.runs)) == 6
    assert all(0 < run.error < 1 for run in forecast.runs)
    assert forecast.runs[0].examples == 240 and forecast.runs[0].epochs == 6
    assert forecast.tested == 231 and 0.85 < forecast.chance < 0.92
    assert len(list((folder / "trials").glob("*.json"))) == 12
    more = forecast.predict(size=5000, examples=900, epochs=12, distilled=False)
    assert more.value > 1 - min(run.error for run in forecast.runs if not run.distilled) - 0.02


def test_a_forecast_that_was_stopped_goes_on_and_comes_to_the_same(made, digits, monkeypatch):
    forecast, folder = made
    trained = []
    train = Trainer.train

    def seen(self, student, values, *arguments, **settings):
        trained.append(values["recipe"])
        return train(self, student, values, *arguments, **settings)

    monkeypatch.setattr(Trainer, "train", seen)
    for path in sorted((folder / "trials").glob("*.json"))[-3:]:
        path.unlink()
    again = kd.auto.forecast(*digits, **QUICK, folder=folder)
    assert trained == ["hinton", "labels", "hinton"]  # the last three, and no others
    for before, after in zip(forecast.runs, again.runs, strict=True):
        assert after.error == pytest.approx(before.error, abs=0.01)
        assert (after.size, after.examples, after.epochs) == (
            before.size, before.examples, before.epochs,
        )  # fmt: skip


def test_another_forecast_is_no_mixture(made, digits):
    with pytest.raises(ValueError, match=r"other settings: seed was 0, not 1"):
        kd.auto.forecast(*digits, **QUICK, folder=made[1], seed=1)


def test_a_budget_that_is_too_short_is_an_error_before_the_first_run(digits, tmp_path):
    with pytest.raises(ValueError, match=r"`budget` is too short: 1 s.*largest run, 240 examples"):
        kd.auto.forecast(*digits, **QUICK, folder=tmp_path / "f", budget="1 s")
    assert not list((tmp_path / "f" / "trials").glob("*.json"))


def test_a_budget_that_is_spent_is_said_and_more_of_it_goes_on(digits, tmp_path, monkeypatch):
    from keras_kd.auto._forecasting import _make

    monkeypatch.setattr(_make, "_made", lambda made, points, clock: ([], True))
    with pytest.raises(ValueError, match=r"`budget` is spent, 900 s, after 0 of 6 points"):
        kd.auto.forecast(*digits, **QUICK, folder=tmp_path / "f")


def test_runs_that_fail_are_an_error_when_too_few_are_left(digits, tmp_path, monkeypatch):
    train = Trainer.train

    def dies(self, student, values, *arguments, **settings):
        if values["recipe"] == "hinton" and "timing" not in settings:
            raise RuntimeError("no good")
        return train(self, student, values, *arguments, **settings)

    monkeypatch.setattr(Trainer, "train", dies)
    with pytest.raises(RuntimeError, match=r"Of 6 points 0 are left.*RuntimeError: no good"):
        kd.auto.forecast(*digits, **QUICK, folder=tmp_path / "f")


def other(x):
    return np.zeros((len(x), 5, 10), "float32")


@pytest.mark.parametrize(
    "change, told_of",
    [
        ({"runs": 5}, "`runs` must be a whole number from 6"),
        ({"sizes": (0.5, 0.5)}, "`sizes` do not vary"),
        ({"sizes": 0.5}, "`sizes` must be the widths"),
        ({"sizes": (1.0, 1.01)}, "sizes of the students do not vary.*from"),
        ({"examples": (200, 210)}, "`examples` do not vary.*from 200 to 210"),
        ({"examples": (100, 10_000)}, "`examples` must be a whole number from 1 to 926"),
        ({"examples": 100}, "`examples` must be two whole numbers"),
        ({"epochs": (4, 4)}, "`epochs` do not vary"),
        ({"budget": "soon"}, "`budget` must be a number above 0"),
        ({"students": ["mlp-16"], "sizes": (1, 2)}, "give students=build"),
        ({"students": ["mlp-16"], "sizes": None}, "sizes of the students do not vary"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0"),
    ],
)
def test_what_is_no_forecast(digits, tmp_path, change, told_of):
    with pytest.raises(ValueError, match=told_of):
        kd.auto.forecast(*digits, **{**QUICK, **change}, folder=tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_other_tasks_are_no_matter_of_a_forecast(tmp_path):
    x, y = np.zeros((200, 4), "float32"), np.zeros((200, 5), "int32")
    teacher = sources.FunctionTeacher(other, name="t")
    with pytest.raises(ValueError, match=r"classification, multi-label.*and regression"):
        kd.auto.forecast(teacher, (x, y), folder=tmp_path / "f")


def test_students_of_its_own_for_columns_and_any_teacher(tmp_path):
    teacher = sources.FunctionTeacher(perfect, name="centers")
    found = kd.auto.forecast(
        teacher, blobs(400), validation=blobs(100, seed=1), epochs=(1, 2), runs=6,
        folder=tmp_path / "f",
    )  # fmt: skip
    assert {run.student for run in found.runs} <= {"width 0.25", "width 0.5", "width 1"}
    assert found.reach["examples"][1] == 200 and found.reach["epochs"] == (1, 2)


# Pruning a search.


def trials_of(scores, sizes):
    """Trials with these scores, by student and epochs."""
    task, _ = task_of(np.array([0, 1, 2]), np.zeros((3, 3)))
    students = {
        name: Fitting(Candidate(name, "ladder", build, "", size, size, 3), "float32")
        for name, size in sizes.items()
    }
    named = {one.name: one for one in students.values()}
    done = {
        f"{name} {epochs}": Trial({"student": students[name].name}, epochs, score, 0.1, 1.0,
                                  None if score else "died", "search", {})
        for (name, epochs), score in scores.items()
    }  # fmt: skip
    data = data_of(blobs(2000), blobs(2000, seed=1), None)
    trainer = types.SimpleNamespace(task=task, answers=types.SimpleNamespace(data=data))
    space = types.SimpleNamespace(students=named)
    return list(named.values()), types.SimpleNamespace(done=done, space=space, trainer=trainer)


def test_students_that_cannot_be_the_best_go():
    sizes = {"small": 100, "half": 1000, "large": 10_000}
    scores = {("small", 1): 0.50, ("small", 3): 0.52, ("half", 1): 0.75, ("half", 3): 0.80,
              ("large", 1): 0.92, ("large", 3): 0.95}  # fmt: skip
    fitting, trials = trials_of(scores, sizes)
    kept, dropped = prune(fitting, trials, teacher=0.97, epochs=9)
    assert [one.candidate.name for one in kept][-1] == "large"
    assert "small, float32" in dropped and "by the forecast" in dropped["small, float32"]
    name = fitting[-1].name
    worse = Trial({"student": name}, 3, 0.3, 2.0, 1.0, None, "search", {})
    trials.done["worse"] = worse  # another recipe, of the best student
    assert prune(fitting, trials, teacher=0.97, epochs=9) == (kept, dropped)
    few = {key: scores[key] for key in list(scores)[:3]}
    fitting, trials = trials_of(few, sizes)
    assert prune(fitting, trials, teacher=0.97, epochs=9) == (fitting, {})


def test_students_that_are_alike_stay():
    sizes = {"small": 800, "half": 900, "large": 1000}
    scores = {(name, epochs): 0.8 + 0.02 * epochs for name in sizes for epochs in (1, 3)}
    scores["half", 9] = None
    fitting, trials = trials_of(scores, sizes)
    assert prune(fitting, trials, teacher=0.9, epochs=9) == (fitting, {})
