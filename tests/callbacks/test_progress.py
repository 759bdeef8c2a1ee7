"""What is seen of a run, on a terminal, in a log and in a notebook; what enters the logs."""

import csv
import io
import re
import sys
import types

import keras
import pytest

import keras_kd
from keras_kd.callbacks import Progress, Schedules
from keras_kd.callbacks._progress import _clock
from tests.models import cross_entropy, data, mlp, set_weights

schedules = keras.optimizers.schedules


def distiller():
    """Four steps an epoch, of temperatures 8 to 1, and a weight that halves with each epoch."""
    terms = [
        keras_kd.Labels(weight=0.5),
        keras_kd.Term(
            keras_kd.losses.SoftTarget(schedules.PolynomialDecay(8.0, 7, 1.0)),
            weight=schedules.PiecewiseConstantDecay([3], [1.0, 0.5]),
        ),
    ]
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t"), 2)
    made = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    made.compile(keras.optimizers.SGD(0.05), cross_entropy(), metrics=["accuracy"])
    return made


def fit(made, *callbacks, epochs=2):
    x, y = data(40)
    fixed = {"batch_size": 10, "validation_data": (x[:20], y[:20]), "verbose": 0}
    return made.fit(x, y, epochs=epochs, callbacks=[*callbacks], **fixed).history


@pytest.fixture
def now(monkeypatch):
    """A clock that goes on by a second each time it is read."""
    ticks = iter(range(10_000))
    monkeypatch.setattr("keras_kd.callbacks._progress.time.perf_counter", lambda: next(ticks))


def test_a_log_has_one_plain_line_for_each_epoch():
    file = io.StringIO()
    history = fit(distiller(), Progress(0.25, file=file))
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    for epoch, (line, temperature, weight) in enumerate(
        zip(lines, (5.0, 1.0), (1.0, 0.5), strict=True)
    ):
        at = {name: numbers[epoch] for name, numbers in history.items()}
        labels, soft = 0.5 * at["labels"], weight * at["soft_target"]
        cells = line.split("  ")
        assert cells[:-1] == [
            f"epoch {epoch + 1}/2",
            f"loss {at['loss']:.4g}",
            f"labels {100 * labels / (labels + soft):.0f} %",
            f"soft_target {100 * soft / (labels + soft):.0f} %",
            f"soft_target_weight {weight:.4g}",
            f"soft_target_temperature {temperature:.4g}",
            f"val_accuracy {at['val_accuracy']:.4g}",
            f"against 0.25 {at['val_accuracy'] - 0.25:+.3f}",
        ]
        assert cells[-1].startswith("left 0:0")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(written):
    """What a terminal shows in the end of lines that are erased and written again."""
    lines = (line.rpartition("\x1b[2K")[2] for line in written.split("\n"))
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in lines]


def test_a_terminal_has_a_table_and_a_line_that_moves(monkeypatch, now):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    file = Terminal()
    history = fit(distiller(), Progress(0.25, file=file), epochs=3)
    written = file.getvalue()
    # epoch 1 began at second 0: one batch of four took a second, so eleven more are left
    assert "epoch 1/3  ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 1/4  left 0:11  loss " in written
    assert "━━━━━━━━━━━━━━━━━━━━ 4/4" in written
    *heading, first, second, third, end = screen(written)
    assert end == ""
    headings = "epoch loss labels target weight temperature accuracy 0.25 left"
    assert " ".join(heading[-1].split()) == headings
    for epoch, row in enumerate((first, second, third)):
        cells = row.split()
        assert cells[0] == f"{epoch + 1}/3" and cells[1] == f"{history['loss'][epoch]:.4g}"
    assert [row.split()[-1] for row in (first, second, third)][1:] == ["0:05", "0:00"]
    assert len({len(row) for row in (first, second, third)}) == 1  # one table, printed in pieces
    assert max(map(len, screen(written))) <= 100


def test_a_notebook_has_one_table_that_grows(monkeypatch):
    shown = []

    class Handle:
        def update(self, table):
            shown.append(table)

    display = types.ModuleType("IPython.display")
    display.display = lambda table, display_id: (shown.append(table), Handle())[1]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    fit(distiller(), Progress())
    assert [table.row_count for table in shown] == [1, 2]
    html = shown[-1]._repr_mimebundle_([], [])["text/html"]
    assert "2/2" in html and "temperature" in html and "val" in html


def test_a_plain_model_shows_its_loss_and_metrics():
    model = mlp("plain")
    model.compile("sgd", cross_entropy(), metrics=["accuracy"])
    x, y = data(20)
    file = io.StringIO()
    history = model.fit(x, y, verbose=0, callbacks=[Progress(file=file)]).history
    assert file.getvalue() == (
        f"epoch 1/1  loss {history['loss'][0]:.4g}  accuracy {history['accuracy'][0]:.4g}  left 0:00\n"
    )


@pytest.mark.parametrize("seconds, text", [(0.4, "0:00"), (61, "1:01"), (3723, "1:02:03")])
def test_clock(seconds, text):
    assert _clock(seconds) == text


# In the logs.


def test_schedules_enter_history_csv_and_tensorboard(tmp_path):
    log, board = tmp_path / "log.csv", tmp_path / "board"
    pytest.importorskip("tensorboard")
    history = fit(
        distiller(),
        Schedules(),
        keras.callbacks.CSVLogger(str(log)),
        keras.callbacks.TensorBoard(str(board)),
    )
    expected = {"soft_target_temperature": [5.0, 1.0], "soft_target_weight": [1.0, 0.5]}
    for name, numbers in expected.items():
        assert history[name] == pytest.approx(numbers, rel=1e-6)
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    for name in (*expected, "labels", "soft_target", "val_loss"):
        written = [float(row[name]) for row in rows]
        assert written == pytest.approx(history[name], rel=1e-6)
    written = scalars(board / "train")
    for name in (*expected, "labels", "soft_target"):
        assert written[f"epoch_{name}"] == pytest.approx(history[name], rel=1e-6)
    assert scalars(board / "validation")["epoch_loss"] == pytest.approx(
        history["val_loss"], rel=1e-6
    )


def scalars(folder):
    """The scalars of the event files in a folder, by tag, in the order of their steps."""
    tf = pytest.importorskip("tensorflow")
    found = {}
    for path in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag.startswith("epoch_"):
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
    return {tag: [number for _, number in sorted(numbers)] for tag, numbers in found.items()}


def test_numbers_inside_other_losses_and_learnt_temperatures_are_found():
    made = keras_kd.Distiller(
        student=set_weights(mlp("s"), 1),
        teacher={"a": set_weights(mlp("a"), 2), "b": set_weights(mlp("b"), 3)},
        terms=[
            *keras_kd.recipes.ca_mkd("a", "b", temperature=schedules.PolynomialDecay(8.0, 8, 0.0)),
            *keras_kd.recipes.ctkd(steps=10, target="a:output")[1:],
        ],
    )
    made.compile(keras.optimizers.SGD(0.0), cross_entropy())
    history = fit(made, Schedules(), epochs=1)
    assert history["confidence_weighted_temperature"] == [5.0]  # three steps after the first
    assert history["curriculum_target_temperature"] == pytest.approx([15.6212], abs=1e-4)
    assert [name for name in history if name.endswith("_weight")] == []
