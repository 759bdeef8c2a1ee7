"""The options of all commands, and what `--help` says of each.

Nothing here imports Keras, which takes seconds: a command's own module does, when it is run.
"""

import argparse
from pathlib import Path
from typing import Any

from keras_kd.cli._options import (
    EXIT_CODES,
    KINDS,
    RAW,
    above_zero,
    command,
    from_zero,
    image_shape,
    named_model,
    names,
    place,
    place_or_address,
    seconds,
    setting,
    share,
    takes_data,
    takes_images,
    takes_json,
    takes_training,
    whole,
)

_EPILOG = f"""\
examples:
  keras-kd demo
  keras-kd doctor teacher.keras --student mlp-16 --data digits
  keras-kd auto teacher.keras --data photos/ --size 300kB --latency 5ms --budget 30min --out run
  keras-kd distill teacher.keras mlp-16 --data digits --set temperature=4 --out run
  keras-kd pretrain teacher.keras small --data photos/ --out pretrained
  keras-kd report teacher=teacher.keras distilled=run/student.keras --data digits --out report.html
  keras-kd export run/student.keras student.tflite --data digits

{EXIT_CODES}
Results go to the standard output, progress to the standard error.
"""


def parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    made = argparse.ArgumentParser(
        prog="keras-kd",
        description="Distill, quantize and prune Keras 3 models.",
        epilog=_EPILOG,
        formatter_class=RAW,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_demo, _doctor, _auto, _pretrain, _distill, _store, _report, _export, _recipes):
        add(commands)
    return made


_DEMO = """\
A teacher learns from every label of an image set. Two small students that start from the same
weights then learn from few labels: one alone, one distilled, which also learns from what the
teacher says about the images without labels. Both take the same number of steps. This is repeated
from several seeds, and the errors on the test set are compared pair by pair.

Writes student.keras, student.tflite and demo.png (the last two need the extras "export" and
"report"). On the digits that come with the package it takes about a minute; on mnist, some minutes.
"""
_DEMO_EXAMPLES = """\
  keras-kd demo
  keras-kd demo --labels 50 --seeds 10
  keras-kd demo --temperature 4 --alpha 0.5 --backend jax
  keras-kd demo --data fashion_mnist --labels 500 --out fashion

Set TF_CPP_MIN_LOG_LEVEL=0 to see what TensorFlow itself has to say.
"""


def _demo(commands: Any) -> None:
    made = command(
        commands, "demo", description=_DEMO, examples=_DEMO_EXAMPLES,
        help="see what distillation does for a small network, in about a minute",
    )  # fmt: skip
    add = made.add_argument
    add("--data", default="digits", metavar="NAME",
        help="digits, or an image classification set of TensorFlow Datasets (default: digits)")  # fmt: skip
    add("--labels", type=whole, default=100, metavar="N",
        help="labelled images that the students have (default: 100)")  # fmt: skip
    add("--epochs", type=whole, metavar="N",
        help="passes over the training images (default: 40 for digits, 3 for a set as large as mnist)")  # fmt: skip
    add("--seeds", type=whole, default=5, metavar="N",
        help="pairs of students to train (default: 5)")  # fmt: skip
    add("--temperature", type=above_zero, default=4.0, metavar="T",
        help="softening of the answers (default: 4)")  # fmt: skip
    add("--alpha", type=share, default=0.9, metavar="A",
        help="the teacher's share of the loss, 0 to 1 (default: 0.9)")  # fmt: skip
    add("--out", type=place, default=Path("keras_kd_demo"), metavar="DIR",
        help="where to write (default: keras_kd_demo)")  # fmt: skip


_DISTILL = """\
Trains STUDENT from TEACHER and the labels of an image set, by a recipe.

TEACHER is a .keras file, or a folder with its answers that `keras-kd store` wrote. STUDENT is a
.keras file, which goes on from its weights (and gets a classifier if it ends in features, such as
one of `keras-kd pretrain`), or the name of a network:
  tiny, small, medium, large   28 thousand, 118 thousand, 510 thousand and 1.4 million weights, for
                               images of any size; all of it is well done in 8-bit integers
  cnn-small, cnn-medium        6 and 61 thousand weights, for small images
  mlp-16, mlp-64               one hidden layer of 16 or 64 units
  resnet8, mobilenet-v1        MLPerf Tiny's: 79 thousand weights; 0.2 million, from 32 pixels up
  sound-tiny, sound-small,     convolutions for spectrograms, 4 thousand to 0.4 million weights;
  sound-medium, sound-large    sound-small is MLPerf Tiny's DS-CNN

Writes to the folder of --out:
  student.keras   the student of the best epoch, by the accuracy on the validation images
  log.csv         a line for each epoch
  summary.json    how good it is on the test images, which nothing was chosen by
  state.npz       all that is needed to go on
  settings.json   what the run was asked for; other settings are another run

Run the same command again and it goes on where it was stopped; with more --epochs it trains on,
at the learning rate that the longer run has there.
"""
_DISTILL_EXAMPLES = """\
  keras-kd distill teacher.keras mlp-16 --data digits --out run
  keras-kd distill teacher.keras cnn-small --data cifar10 --recipe dkd --set beta=4 --epochs 60
  keras-kd distill teacher.keras small --data photos/ --epochs 30
  keras-kd distill teacher.keras student.keras --data photos/ --recipe attention_transfer
  keras-kd distill teacher.keras cnn-small --data pets/ --classes dog,cat,rabbit
  keras-kd distill answers/ mlp-64 --data mnist --json

"""


def _distill(commands: Any) -> None:
    made = command(
        commands, "distill", description=_DISTILL, examples=_DISTILL_EXAMPLES,
        help="train a student from a teacher",
    )  # fmt: skip
    add = made.add_argument
    add("teacher", type=place, metavar="TEACHER", help="a .keras file, or a folder of its answers")
    add("student", metavar="STUDENT", help="a .keras file, or the name of a small network")
    takes_data(made, default="digits")
    add("--recipe", metavar="NAME",
        help="how to distil; see keras-kd recipes (default: hinton, its settings as the teacher's "
        "answers for some images suggest them; what is chosen is printed with its reasons)")  # fmt: skip
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the recipe; may be given several times")  # fmt: skip
    add("--validation", type=share, default=0.1, metavar="F",
        help="share of the training images held out to choose the best epoch by, for a set "
        "without validation images of its own (default: 0.1)")  # fmt: skip
    add("--no-check", action="store_true",
        help="train without the check, before the first epoch, that the teacher knows the classes "
        "of the labels in their order")  # fmt: skip
    add("--baseline", type=share, metavar="A",
        help="an accuracy to show the student against, such as that of the student alone")  # fmt: skip
    takes_training(
        made, out="keras_kd_run",
        augment="none; or auto: those after which the teacher knows the validation images nearly "
        "as well as before (default: none, which small students learnt best with)",
    )  # fmt: skip


_DOCTOR = """\
Finds, in seconds to a minute and before any long training, why distilling will not help, and what to
do: a teacher that is shown images of another scale or order of colors than it was trained on, classes
in another order, answers that are the labels again, a teacher that is surer than it is right, wrong
labels, few examples, running averages that lag, a student that cannot learn, a learning rate that is
too high. Each finding comes with what was measured and a line of Python.

TEACHER is a .keras file. Exit code 1 when something has to be mended first.
"""
_DOCTOR_EXAMPLES = """\
  keras-kd doctor teacher.keras --data photos/
  keras-kd doctor teacher.keras --student mlp-16 --data digits --epochs 30
  keras-kd doctor teacher.keras --data mnist --store answers --json

"""


def _doctor(commands: Any) -> None:
    made = command(
        commands, "doctor", description=_DOCTOR, examples=_DOCTOR_EXAMPLES,
        help="find why distilling will not help",
    )  # fmt: skip
    add = made.add_argument
    add("teacher", type=place, metavar="TEACHER", help="a .keras file")
    takes_data(made, default="digits")
    add("--student", metavar="STUDENT",
        help="a .keras file, or the name of a small network (default: the student is not looked at)")  # fmt: skip
    add("--store", type=place, metavar="DIR", help="stored answers that training will read")
    add("--epochs", type=whole, default=20, metavar="N",
        help="how long training is planned (default: 20)")  # fmt: skip
    add("--batch-size", type=whole, metavar="N",
        help="images in one step (default: 32 of fewer than 4,000 training images, otherwise 64)")  # fmt: skip
    add("--learning-rate", type=above_zero, metavar="R",
        help="the highest of Adam (default: 0.01, or 0.001 for a student from a file)")  # fmt: skip
    add("--validation", type=share, default=0.15, metavar="F",
        help="share of the training images held out, for a set without validation images of its "
        "own; of images that the teacher was trained on less can be said (default: 0.15)")  # fmt: skip
    add("--seed", type=from_zero, default=0, metavar="N", help="of draws (default: 0)")
    add("--out", type=place, metavar="FILE.html", help="also write a page")
    takes_json(made)


_AUTO = """\
Makes a teacher fit: finds the best student within limits, by itself, and writes it as a file that is
proven and measured. TEACHER is a .keras file.

Students are cut from the teacher or have a name (see keras-kd distill --help); those over the limits
are left out before training. Then students, recipes, temperatures, learning rates and views are
searched, the default recipe among them; the best is trained long, and the same student alone beside
it. Give one limit or more. Units: B, kB, MB, KiB, MiB; us, ms, s; k, M, G; %.

Writes to the folder of --out:
  student.tflite   the file, with its proof beside it, and the same student as student.keras
  report.html      what was found, with pictures and the lines of Python that train it again
  best.keras       the best student so far, at any time
  alone.tflite     the control: the same student from the labels alone
  trials/, tuner/  the search, as it comes

Run the same command again and it goes on where it was stopped. Needs the extra tune.
"""
_AUTO_EXAMPLES = """\
  keras-kd auto teacher.keras --data photos/ --size 300kB --latency 5ms --budget 30min --out run
  keras-kd auto teacher.keras --data digits --size 20kB --budget 90s
  keras-kd auto teacher.keras --data mnist --accuracy 98% --budget 1h
  keras-kd auto teacher.keras --data photos/ --arena 64kB --students tiny,cnn-small --json

"""


def _auto(commands: Any) -> None:
    made = command(
        commands, "auto", description=_AUTO, examples=_AUTO_EXAMPLES,
        help="make a teacher fit: from limits to a proven file",
    )  # fmt: skip
    add = made.add_argument
    add("teacher", type=place, metavar="TEACHER", help="a .keras file")
    takes_data(made, default="digits")
    add("--size", metavar="BYTES", help="of the file at most, such as 300kB")
    add("--latency", metavar="TIME",
        help="of one example at most, in the file on this machine, such as 5ms")  # fmt: skip
    add("--parameters", metavar="N", help="weights at most, such as 30k")
    add("--flops", metavar="N", help="operations for one example at most, such as 2M")
    add("--arena", metavar="BYTES",
        help="working memory on a microcontroller at most; the file is then made for one")  # fmt: skip
    add("--accuracy", metavar="A",
        help="on the validation images at least, such as 95%%: the smallest file that has it")  # fmt: skip
    add("--budget", default="30min", metavar="TIME",
        help="what all of it may take, such as 90s, 30min, 2h (default: 30min)")  # fmt: skip
    add("--students", type=names, metavar="A,B",
        help="names of students to search among (default: those cut from the teacher, and all "
        "with names)")  # fmt: skip
    add("--formats", type=names, metavar="A,B",
        help="number formats to choose from: float32, float16, int8, int4 (default: all)")  # fmt: skip
    add("--epochs", type=whole, metavar="N",
        help="epochs of a trial of full length (default: what the budget allows)")  # fmt: skip
    add("--trials", type=whole, metavar="N",
        help="trials at most, beside those of the default recipe (default: what the budget allows)")  # fmt: skip
    add("--validation", type=share, default=0.15, metavar="F",
        help="share of the training images held out to choose by, for a set without validation "
        "images of its own (default: 0.15)")  # fmt: skip
    add("--no-check", action="store_true",
        help="search without the check that the teacher knows the classes in their order")  # fmt: skip
    add("--seed", type=from_zero, default=0, metavar="N",
        help="of weights, orders and draws (default: 0)")  # fmt: skip
    add("--out", type=place, default=Path("keras_kd_auto"), metavar="DIR",
        help="where to write (default: keras_kd_auto)")  # fmt: skip
    takes_json(made)


_PRETRAIN = """\
Trains STUDENT to see what TEACHER sees, on images without labels: means and positions of its last
feature map come near those of the teacher's, through a head that is thrown away afterwards. Then
`keras-kd distill TEACHER DIR/student.keras` goes on with labels.

TEACHER is a .keras file. STUDENT is a .keras file, which goes on from its weights, or the name of a
network with convolutions (see keras-kd distill --help), which is written without its classifier.
--data is a folder of images, whatever its subfolders (where it has train/ and test/, only train/ is
looked at), or a set, whose labels are not looked at.

Writes to the folder of --out:
  student.keras   the student of the best epoch, by the loss on images held out
  log.csv         a line for each epoch
  summary.json    what was learnt from what
  state.npz       all that is needed to go on
  settings.json   what the run was asked for; other settings are another run

Run the same command again and it goes on where it was stopped.
"""
_PRETRAIN_EXAMPLES = """\
  keras-kd pretrain teacher.keras small --data photos/ --out pretrained
  keras-kd distill teacher.keras pretrained/student.keras --data labelled/
  keras-kd pretrain teacher.keras cnn-small --data digits --set spatial=0 --json

"""


def _pretrain(commands: Any) -> None:
    made = command(
        commands, "pretrain", description=_PRETRAIN, examples=_PRETRAIN_EXAMPLES,
        help="train a student's features from a teacher's, without labels",
    )  # fmt: skip
    made.set_defaults(recipe="representation")
    add = made.add_argument
    add("teacher", type=place, metavar="TEACHER", help="a .keras file")
    add("student", metavar="STUDENT", help="a .keras file, or the name of a small network")
    takes_images(made, default="digits",
                 what="digits, an image set of TensorFlow Datasets, or a folder of images")  # fmt: skip
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the recipe representation; may be given several times")  # fmt: skip
    add("--validation", type=share, default=0.1, metavar="F",
        help="share of the images held out to choose the best epoch by (default: 0.1)")  # fmt: skip
    takes_training(made, out="keras_kd_pretrained", augment="none (default: none)")


_STORE = """\
Asks a teacher once for its answers to all training (and validation) images of a set, and writes
them to a folder. `keras-kd distill` takes the folder in place of the teacher, as often as you like.

TEACHER may be of another framework: an .onnx or .tflite file, a TorchScript or exported program
(.pt, .pt2), the folder of a SavedModel, an estimator (.joblib, .pkl; with --trust-pickle), the
http(s) address of a server, or a file with the answers themselves (.parquet, .csv, .jsonl, .npz).

Run the same command again and it goes on where it was stopped.
"""
_STORE_EXAMPLES = """\
  keras-kd store teacher.keras --data mnist --out answers
  keras-kd store teacher.keras --data photos/ --dtype float32 --out answers
  keras-kd store teacher.keras --data digits --address output --address block3 --out answers
  keras-kd store teacher.onnx --kind probabilities --data photos/ --out answers
  keras-kd store http://localhost:8501/v1/models/big:predict --data mnist --out answers
  keras-kd store answers.parquet --kind probabilities --data digits --out answers

"""


def _store(commands: Any) -> None:
    made = command(
        commands, "store", description=_STORE, examples=_STORE_EXAMPLES,
        help="write down a teacher's answers",
    )  # fmt: skip
    add = made.add_argument
    add("teacher", type=place_or_address, metavar="TEACHER",
        help="a .keras file, or one of another framework")  # fmt: skip
    takes_data(made, default="digits")
    add("--kind", default="logits", choices=KINDS,
        help="what a teacher of another framework gives (default: logits)")  # fmt: skip
    add("--image-shape", type=image_shape, metavar="H,W,C",
        help="to what images of a folder are brought, where the teacher's file does not say it")  # fmt: skip
    add("--data-format", choices=("channels_first", "channels_last"),
        help="how a file of ONNX or torch has its images (default: last for ONNX, first for torch)")  # fmt: skip
    add("--ids", default="id", metavar="COLUMN",
        help="of a file of answers: the column with the examples' ids (default: id)")  # fmt: skip
    add("--api-key-env", metavar="VARIABLE",
        help="of a server: the environment variable that holds its key")  # fmt: skip
    add("--trust-pickle", action="store_true",
        help="open a .joblib or .pkl file, which can run any code that is in it")  # fmt: skip
    add("--address", action="append", metavar="PATH",
        help="output, or the path of a layer; may be given several times (default: output)")  # fmt: skip
    add("--dtype", default="float16", choices=("float16", "float32", "int8"),
        help="of the stored numbers (default: float16)")  # fmt: skip
    add("--batch-size", type=whole, default=128, metavar="N",
        help="images asked about at once (default: 128)")  # fmt: skip
    add("--out", type=place, required=True, metavar="DIR", help="where to write")
    takes_json(made)


_REPORT = """\
Compares models on the test images of a set: how often each is right, how like its teacher it is,
what it costs, and whether the difference is more than chance.

Each model is NAME=FILE.keras; without a NAME it is called after its file. The one named `teacher`
is the teacher. The last one is judged against the one before it that is not the teacher.
"""
_REPORT_EXAMPLES = """\
  keras-kd report teacher=teacher.keras alone=alone.keras distilled=run/student.keras --data digits
  keras-kd report teacher.keras student.keras --data photos/ --out report.html
  keras-kd report teacher.keras student.keras --data mnist --json

"""


def _report(commands: Any) -> None:
    made = command(
        commands, "report", description=_REPORT, examples=_REPORT_EXAMPLES,
        help="compare models: did distillation help?",
    )  # fmt: skip
    add = made.add_argument
    add("models", nargs="+", type=named_model, metavar="[NAME=]FILE", help="a .keras file")
    takes_data(made, default="digits")
    add("--out", type=place, metavar="FILE.html",
        help="also write a page with pictures (needs the extra report)")  # fmt: skip
    add("--no-latency", action="store_true", help="leave out the measurement of time")
    takes_json(made)


_EXPORT = """\
Writes a student as a file for a device, and proves that the file answers as the student does.

FILE ends with .tflite (LiteRT) or .onnx, or is the name of a folder (SavedModel). The proof is
written beside it, as FILE.json. With --data the file is compared on the set's test images, and its
integers are chosen by training images; int8 and int16x8 need that. Without it, the file is proven
on random inputs only.
"""
_EXPORT_EXAMPLES = """\
  keras-kd export student.keras student.tflite
  keras-kd export student.keras student.tflite --quantization int8 --data digits
  keras-kd export student.keras student.onnx --data photos/ --json
  keras-kd export student.keras student.tflite --data digits --softmax --readme --page

"""


def _export(commands: Any) -> None:
    made = command(
        commands, "export", description=_EXPORT, examples=_EXPORT_EXAMPLES,
        help="write a student as a file for a device",
    )  # fmt: skip
    add = made.add_argument
    add("student", type=place, metavar="STUDENT", help="a .keras file")
    add("file", type=place, metavar="FILE", help="where to write")
    add("--quantization", default="float32", metavar="KIND",
        help="float32, float16, dynamic, int8, int16x8 or int4 (default: float32)")  # fmt: skip
    add("--target", choices=("micro",), help="micro: for a microcontroller")
    add("--integer-io", action="store_true", help="integers in and out as well, with int8, int16x8")
    add("--softmax", action="store_true", help="end the file in a softmax that the student has not")
    add("--preprocessing", metavar="TEXT",
        help="what was done to inputs, such as 'float images in [0, 1]'")  # fmt: skip
    add("--card", type=place, metavar="FILE",
        help="a JSON file of what is to be said of the student, such as its author and license; data, "
             "teacher, recipe and accuracy are taken from the summary beside the student")  # fmt: skip
    add(
        "--readme",
        action="store_true",
        help="write a page of how to load the file, with an example",
    )
    add(
        "--page",
        action="store_true",
        help="write a page that runs the student in a browser, FILE.html",
    )
    add("--min-agreement", type=share, metavar="A",
        help="share of the decisions that must agree (default: 0.99; with integers 0.97)")  # fmt: skip
    add("--timeout", type=seconds, default=600.0, metavar="S",
        help="seconds after which a conversion is given up; 0: never (default: 600)")  # fmt: skip
    takes_data(made)
    takes_json(made)


_RECIPES = """\
Lists the recipes that `keras-kd distill` knows: what each does, the paper it is from, and its
settings with their defaults. With a NAME, says all there is to say of that one.

What a recipe needs is taken from the models when it is not set: the layers `pred` and `target` are
paired by their sizes.
"""
_RECIPES_EXAMPLES = """\
  keras-kd recipes
  keras-kd recipes dkd
  keras-kd recipes --json

"""


def _recipes(commands: Any) -> None:
    made = command(
        commands, "recipes", description=_RECIPES, examples=_RECIPES_EXAMPLES,
        help="list the recipes, their papers and their settings",
    )  # fmt: skip
    made.add_argument("name", nargs="?", metavar="NAME", help="one recipe, told in full")
    takes_json(made)
