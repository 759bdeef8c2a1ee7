"""What a search tells: what mattered, the pictures, the clock, the folder."""

import json
import types

import numpy as np
import pytest

from keras_kd.auto import _folder, _plots
from keras_kd.auto._folder import Clock
from keras_kd.auto._importance import FEWEST, importance
from keras_kd.auto._task import Classes
from keras_kd.auto._trials import Trial


def trials(count, score):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        temperature, alpha = float(rng.choice([1, 2, 4, 8])), float(rng.choice([0.3, 0.9]))
        values = {"student": "s", "recipe": "hinton", "temperature": temperature, "alpha": alpha,
                  "learning_rate": float(rng.choice([1e-3, 1e-2])), "views": 1}  # fmt: skip
        costs = {"parameters": 100.0, "size": 1000.0}
        found.append(Trial(values, 3, score(temperature, alpha), 0.1, 1.0, None, "search", costs))
    return found


SPACE = types.SimpleNamespace(
    task=Classes(10),
    students={"s": types.SimpleNamespace(candidate=types.SimpleNamespace(origin="ladder"))},
)


def test_what_mattered_is_what_was_planted():
    pytest.importorskip("sklearn")
    shares = importance(trials(40, lambda temperature, alpha: 0.8 + 0.01 * temperature), SPACE)
    assert next(iter(shares)) == "temperature"
    assert shares["temperature"] > 0.5 > 10 * shares["alpha"]
    assert set(shares) == {"temperature", "alpha", "learning rate"}  # the others never changed
    shares = importance(trials(40, lambda temperature, alpha: alpha), SPACE)
    assert next(iter(shares)) == "alpha"


def test_few_trials_say_nothing():
    assert importance(trials(FEWEST - 1, lambda t, a: t), SPACE) == {}
    assert importance(trials(40, lambda t, a: 0.5), SPACE) == {}
    failed = [Trial({}, 1, None, None, 1.0, "died", "search", {})] * 40
    assert importance(failed, SPACE) == {}


def test_the_front_is_of_those_that_none_beats():
    pytest.importorskip("matplotlib")
    figure = _plots.pareto(
        [(1.0, 0.5), (2.0, 0.4), (3.0, 0.8), (None, 0.9)], (4.0, 0.9), None, (50.0, 0.95), 10.0,
        "kB", "accuracy",
    )  # fmt: skip
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["best for the cost"].get_xdata()) == [1, 3, 4]
    assert set(lines) == {"trial", "best for the cost", "teacher", "distilled, winner", "limit"}
    assert _plots.pareto([(None, 0.5)], (None, 0.6), None, (None, 0.9), None, "ms", "a") is None
    # A teacher whose cost is not known is a line across.
    figure = _plots.pareto([(1.0, 0.5)], (1.0, 0.6), None, (None, 0.9), None, "ms", "a")
    teacher = next(line for line in figure.axes[0].lines if line.get_label() == "teacher")
    assert list(teacher.get_ydata()) == [0.9, 0.9]


def test_what_was_spent_before_counts(tmp_path):
    clock = Clock(tmp_path, 100.0)
    clock.before = 30.0
    clock.keep()
    again = Clock(tmp_path, 100.0)
    assert 30 <= again.spent < 40 and again.left < 70
    assert Clock(tmp_path, 1000.0).left > 900  # a larger budget goes on


def test_one_search_in_a_folder_at_a_time(tmp_path):
    with _folder.held(tmp_path / "run", {"seed": 0}) as folder:
        assert json.loads((folder / "settings.json").read_text()) == {"seed": 0}
        with (
            pytest.raises(ValueError, match="a search that is going on"),
            _folder.held(tmp_path / "run", {"seed": 0}),
        ):
            pass
    with _folder.held(tmp_path / "run", {"seed": 0}):
        pass


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "clock.json").write_text('{"spent": 3')
    with pytest.raises(ValueError, match=r"clock\.json' is damaged"):
        Clock(tmp_path, 1.0)


def test_a_training_ends_when_time_is_up():
    from keras_kd.auto._answers import Answers
    from keras_kd.auto._candidates import candidates_of
    from keras_kd.auto._data import data_of
    from keras_kd.auto._task import task_of
    from keras_kd.auto._teacher import teacher_of
    from keras_kd.auto._training import OutOfTime, Timing, Trainer
    from tests.auto.test_parts import blobs, perfect

    data, teacher = data_of(blobs(100), blobs(50), None), teacher_of(perfect)
    task, _ = task_of(data.train.y, np.zeros((2, 3)))
    (candidate,), _ = candidates_of(["table-tiny"], teacher, task, data.train.x)
    trainer = Trainer(task, Answers(data, {}, None, teacher), 0)
    values = {"views": 1, "learning_rate": 0.01, "recipe": "labels"}
    student, timing = trainer.build(candidate), Timing(0.0)  # a time that is long gone
    with pytest.raises(OutOfTime):
        trainer.train(student, values, 3, timing=timing)
    assert timing.count == 1
    student, timing = trainer.build(candidate), Timing(float("inf"), 5)
    trainer.train(student, values, 3, timing=timing)
    assert timing.count == 5 and timing.start > 0 and timing.step > 0
    trainer.train(student, values, 2, timing=(timing := Timing(float("inf"))))
    assert timing.count == 2 * trainer.steps == 8


@pytest.mark.parametrize("left", [30.0, 66.0, 200.0, 1800.0, 20_000.0])
@pytest.mark.parametrize("start, step", [(0.7, 0.003), (3.0, 0.02), (6.0, 0.1)])
@pytest.mark.parametrize("trainings", [2.0, 2.5])
def test_the_plan_leaves_time_for_the_search_and_the_end(left, start, step, trainings):
    from keras_kd.auto._search import _BRACKETS, End, plan_of, plan_short

    steps, export = 30, 7.0
    trials = types.SimpleNamespace(
        mean_times=lambda: (start, step), trainer=types.SimpleNamespace(steps=steps)
    )
    clock = types.SimpleNamespace(left=left)
    last = End(2 * trainings * export, trainings)
    short = plan_short(trials, clock, last, None)
    plan = plan_of(trials, clock, last, short, None)
    assert short <= max(1, plan.full // 3) and plan.full <= 60
    epoch = step * steps
    end = 2 * start + trainings * plan.final * epoch + last.files
    if plan.units:  # the default, the first bracket, winner and control, and their files
        count, lengths = _BRACKETS[plan.units]
        whole = (count + 1) * start + (lengths + 1) * plan.full * epoch
        assert whole + end <= left
        assert plan.final == 2 * plan.full
    else:
        assert plan.final == plan.full


def test_the_last_trainings_take_what_is_left():
    from keras_kd.auto._search import End, Plan, longer

    trials = types.SimpleNamespace(seconds=lambda student, epochs: 5.0 + 2.0 * epochs)
    plan = Plan(4, 9, 18, 3)

    def final(left):
        return longer(plan, trials, "s", types.SimpleNamespace(left=left), End(20.0, 2.0)).final

    assert final(60.0) == 18  # as planned: less is not to be had
    assert final(160.0) == 29  # .9 of 140 s for two of 5 s and 2 s an epoch
    assert 20.0 + 2 * (5.0 + 2.0 * 29) <= 160.0
    assert final(10_000.0) == 36
