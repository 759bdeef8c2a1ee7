"""MLPerf Tiny's image classification: ResNet-8 on CIFAR-10 in 8-bit integers, target 85 % right.

    KERAS_BACKEND=... TFDS_DATA_DIR=... python benchmarks/mlperf_tiny.py --folder run --minutes 60
    KERAS_BACKEND=... python benchmarks/mlperf_tiny.py --time
    python benchmarks/mlperf_tiny.py --folder run --table

A residual teacher is trained here; its answers to some views of each image are stored; the student
learns them for long (Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", CVPR 2022); then for some epochs more as the integer file that it becomes; then the
file is written, and run on all test images and in tflite-micro.

`--minutes` ends a slice at the end of an epoch. Run again, it goes on where it was: state, answers,
models and rows.csv lie in --folder, each written aside and then renamed. Nothing is chosen by the
test images: the last epoch counts. `--time` measures some steps of teacher and student, to choose a
backend by. Files need TensorFlow and tflite-micro, whatever the backend.
"""

import argparse
import pathlib
import statistics
import time

import keras
import numpy as np
from keras import layers
from rows import Deadline, Rows

import keras_kd as kd
from keras_kd import callbacks

TARGET = 85.0  # percent; MLPerf Tiny's closed division
PUBLISHED = 78_666  # weights
CALIBRATION = 500  # training images off which ranges are read
STAGES = ("teacher", "answers", "student", "aware", "file")


def teacher_of(width: int = 32, classes: int = 10) -> keras.Model:
    """Eight convolutions and two shortcuts, most of them on small maps: accurate for its time.

    In the manner of the networks of DAWNBench's CIFAR-10 (Page, "How to train your ResNet", 2018).
    """

    def conv(x, channels):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    x = inputs = keras.Input((32, 32, 3))
    x = conv(x, width)
    x = layers.MaxPooling2D()(conv(x, 2 * width))
    x = layers.Add()([x, conv(conv(x, 2 * width), 2 * width)])
    x = layers.MaxPooling2D()(conv(x, 4 * width))
    x = layers.MaxPooling2D()(conv(x, 8 * width))
    x = layers.Add()([x, conv(conv(x, 8 * width), 8 * width)])
    x = layers.GlobalMaxPooling2D()(x)
    scaled = layers.Rescaling(0.125)(layers.Dense(classes, use_bias=False)(x))
    return keras.Model(inputs, scaled, name="teacher")


def rate(highest: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """From nothing to the highest in a tenth of the steps, and down to nothing along a cosine."""
    warm = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm, warmup_target=highest, warmup_steps=warm
    )


def compiled(student, terms, optimizer) -> kd.Distiller:
    distiller = kd.Distiller(student=student, terms=terms)
    distiller.compile(
        optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"], jit_compile=keras.config.backend() == "jax",
    )  # fmt: skip
    return distiller


class Bench:
    def __init__(self, options):
        self.options, self.folder = options, options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = Rows(self.folder / "rows.csv")
        self.end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
        data = kd.data.load(options.data, download=False)
        self.train = data["train"].take(np.arange(options.images or len(data["train"])))
        self.test = data["test"]
        self.steps = -(-len(self.train) // options.batch)
        self.augment = kd.data.Augment(kd.data.Crop(4), kd.data.Flip())

    def fit(self, name, distiller, feed, epochs) -> bool:
        """Trains on to `epochs`; false when the slice ended before."""
        checkpoint = callbacks.Checkpoint(self.folder / f"{name}.npz")
        deadline = Deadline(self.end)
        done = checkpoint.restore(distiller)
        for _ in range(done):
            feed.on_epoch_end()  # each epoch has its own order and view
        if done < epochs:
            print(f"{name}: from epoch {done} of {epochs}", flush=True)
            look = self.test.take(np.arange(min(2000, len(self.test))))
            distiller.fit(
                feed, epochs=epochs, initial_epoch=done, verbose=2, shuffle=False,
                validation_data=(look.x, look.y), validation_freq=self.options.look,
                callbacks=[
                    checkpoint, deadline,
                    keras.callbacks.CSVLogger(str(self.folder / f"{name}.csv"), append=True),
                ],
            )  # fmt: skip
        # The state's own count of steps: a stop at the last epoch is an end all the same.
        return int(distiller._step) >= epochs * self.steps

    def accuracy(self, model) -> float:
        answers = model.predict(self.test.x, batch_size=500, verbose=0)
        return 100 * float((answers.argmax(1) == self.test.y).mean())

    def keep(self, stage, model, epochs, **more):
        self.rows.keep(
            stage=stage, seed=self.options.seed, epochs=epochs, weights=model.count_params(),
            accuracy=f"{self.accuracy(model):.2f}",
            int8=more.get("int8", ""), agreement=more.get("agreement", ""),
            bytes=more.get("bytes", ""), arena=more.get("arena", ""), ms=more.get("ms", ""),
        )  # fmt: skip
        print(self.rows[-1], flush=True)

    def save(self, model, path):
        aside = path.with_name(f"aside-{path.name}")
        model.save(aside)
        aside.replace(path)

    # The stages. Each returns whether it is done.

    def teacher(self) -> bool:
        path, options = self.folder / "teacher.keras", self.options
        if path.exists():
            return True
        keras.utils.set_random_seed(0)
        model = teacher_of(options.width)
        for weight in model.trainable_variables:  # on every weight, as is usual on CIFAR
            weight.regularizer = keras.regularizers.L2(2.5e-4)
        steps = options.teacher_epochs * self.steps
        optimizer = keras.optimizers.SGD(rate(0.1, steps), momentum=0.9, nesterov=True)
        feed = kd.data.feed(
            self.train, augment=self.augment, views=options.teacher_epochs,
            batch_size=options.batch, shuffle=True, seed=0,
        )  # fmt: skip
        distiller = compiled(model, [kd.Labels()], optimizer)
        if not self.fit("teacher", distiller, feed, options.teacher_epochs):
            return False
        for weight in model.trainable_variables:
            weight.regularizer = None
        self.save(model, path)
        self.keep("teacher", model, options.teacher_epochs)
        return True

    def answers(self) -> bool:
        """In shards: killed, it goes on at the shard where it was; done, there is nothing to do."""
        teacher = keras.saving.load_model(self.folder / "teacher.keras", compile=False)
        kd.stores.write(
            teacher, self.train, self.folder / "answers", augment=self.augment,
            views=self.options.views, batch_size=500, shard_size=5000,
        )  # fmt: skip
        return True

    def read(self, seed):
        return kd.stores.read(
            self.folder / "answers", self.train, batch_size=self.options.batch, shuffle=True,
            seed=seed,
        )  # fmt: skip

    def student(self) -> bool:
        options = self.options
        path = self.folder / f"student-{options.seed}.keras"
        if path.exists():
            return True
        keras.utils.set_random_seed(options.seed)
        model = kd.students.resnet8()
        assert model.count_params() == PUBLISHED
        optimizer = keras.optimizers.Adam(rate(0.004, options.epochs * self.steps))
        distiller = compiled(model, kd.recipes.hinton(temperature=4.0), optimizer)
        feed = self.read(options.seed)
        if not self.fit(f"student-{options.seed}", distiller, feed, options.epochs):
            return False
        self.save(model, path)
        self.keep("student", model, options.epochs)
        return True

    def aware(self) -> bool:
        """Some epochs more, as the integer file."""
        options = self.options
        path = self.folder / f"aware-{options.seed}.keras"
        if path.exists():
            return True
        model = keras.saving.load_model(
            self.folder / f"student-{options.seed}.keras", compile=False
        )
        aware = kd.compression.quantize_aware(model)
        optimizer = keras.optimizers.Adam(rate(0.0004, options.aware_epochs * self.steps))
        distiller = compiled(aware, kd.recipes.hinton(temperature=4.0), optimizer)
        feed = self.read(options.seed + 100)
        if not self.fit(f"aware-{options.seed}", distiller, feed, options.aware_epochs):
            return False
        self.save(aware, path)
        return True

    def file(self) -> bool:
        """Of the student as it is, and of the one that learnt on as an integer file."""
        seed = self.options.seed
        student = keras.saving.load_model(self.folder / f"student-{seed}.keras", compile=False)
        aware = keras.saving.load_model(self.folder / f"aware-{seed}.keras", compile=False)
        models = {"file": student, "file aware": kd.compression.plain(aware, keep_ranges=True)}
        for stage, model in models.items():
            if not self.rows.have(stage=stage, seed=seed):
                path = self.folder / f"{stage.replace(' ', '-')}-{seed}.tflite"
                found = on_device(model, path, self.train.x[:CALIBRATION], self.test.x, self.test.y)
                self.keep(stage, model, "", **found)
        return True


def time_steps(options) -> None:
    """Seconds of a step, and those of the processor, which hold on a busy machine as well: the
    medians of some steps, compilation left out."""
    x = np.random.default_rng(0).uniform(size=(options.batch, 32, 32, 3))
    x, y = x.astype("float32"), np.zeros(len(x), "int32")
    answers = {"teacher:output": np.zeros((len(x), 10), "float32")}
    cases = {
        "teacher": (teacher_of(options.width), [kd.Labels()], x),
        "student": (
            kd.students.resnet8(), kd.recipes.hinton(), {"inputs": x, "signals": answers},
        ),
    }  # fmt: skip
    for name, (model, terms, inputs) in cases.items():
        distiller, taken = compiled(model, terms, keras.optimizers.Adam(0.001)), []
        for _ in range(3 + 20):
            start = time.perf_counter(), time.process_time()
            distiller.train_on_batch(inputs, y)
            taken.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        wall, busy = (statistics.median(t) for t in zip(*taken[3:], strict=True))
        print(f"{name}: {wall:.3f} s a step of {len(x)}, {busy:.3f} s of processors", flush=True)


def on_device(model, path, calibration, x, y) -> dict:
    """The int8 file of a model: right answers, size, working memory and time in tflite-micro."""
    proof = kd.export(
        model, path, quantization="int8", integer_io=True, target="micro",
        calibration=calibration, examples=x, labels=y, timeout=None,
    )  # fmt: skip
    return {
        "int8": f"{100 * proof.answers[0].accuracy:.2f}",
        "agreement": f"{100 * proof.agreeing / proof.examples:.2f}",
        "bytes": proof.bytes,
        "arena": proof.micro.arena_bytes,
        "ms": f"{micro_ms(path):.2f}",
    }


def micro_ms(path, runs: int = 50) -> float:
    """Median time of one call in tflite-micro, whose kernels here are the portable ones."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path))
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        interpreter.invoke()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


def table(rows) -> str:
    lines = [
        "| | epochs | weights | float, % | int8, % | as the float student, % | bytes | arena | ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    names = ("epochs", "weights", "accuracy", "int8", "agreement", "bytes", "arena", "ms")
    for row in rows:
        cells = " | ".join(row[name] for name in names)
        lines.append(f"| {row['stage']}, seed {row['seed']} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--folder", type=pathlib.Path, default=pathlib.Path("mlperf_tiny"))
    add("--data", default="cifar10")
    add("--images", type=int, help="training images (default: all)")
    add("--batch", type=int, default=128)
    add("--width", type=int, default=32, help="of the teacher")
    add("--teacher-epochs", type=int, default=30)
    add("--views", type=int, default=20, help="of each image that the teacher answers")
    add("--epochs", type=int, default=200, help="of the student")
    add("--aware-epochs", type=int, default=10, help="after that, quantization-aware")
    add("--seed", type=int, default=1, help="of the student")
    add("--look", type=int, default=5, help="epochs between looks at 2,000 test images")
    add("--minutes", type=float, help="of this slice")
    add("--stages", nargs="+", choices=STAGES, default=STAGES)
    add("--time", action="store_true", help="time some steps, no more")
    add("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    if options.table:
        print(table(Rows(options.folder / "rows.csv")))
        return
    if options.time:
        time_steps(options)
        return
    bench = Bench(options)
    for stage in options.stages:
        if not getattr(bench, stage)():
            print(f"{stage}: the slice is over; run again to go on", flush=True)
            return
    print(table(bench.rows))


if __name__ == "__main__":
    main()
