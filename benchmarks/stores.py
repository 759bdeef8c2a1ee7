"""What stored answers cost, as ratios measured in one run.

    KERAS_BACKEND=tensorflow python benchmarks/stores.py
    KERAS_BACKEND=jax python benchmarks/stores.py --only epoch
    python benchmarks/stores.py --only containers
    python benchmarks/stores.py --only text --rounds 9 --steps 20

- epoch: training from a store over plain training of the student, on the same pipeline
  (Fashion-MNIST, batch 128, with augmentation); with 10 classes, and with the 16 largest of 1,000;
  for a common small student (3x3 convolutions of 32 and 64 channels, each with pooling) and for a
  tiny one (strided convolutions of 16 and 32 channels), whose step is hardly more than the loss.
- text: the same for a language model, the student of `language.py` (a Llama of two blocks, 32 windows
  of 64 tokens a batch), from the 8 largest logits of each token: beside Keras's own training by
  cross-entropy, with vocabularies of 1,000 and 8,000. Needs the extra "hub".
- live: distillation with the teacher in every step over distillation from its store.
- write: examples a second of `stores.write` over those of the teacher's `predict`.
- memory: what reading takes above the pipeline itself, for 10^4, 10^5 and 10^6 examples of 1,000
  classes; how long opening takes; how long a batch of 128 takes.
- compression: bytes an answer, and how far a loss of the test images against the stored answers is
  from the loss against the teacher's own, for a teacher trained for one epoch.
- containers: the same answers as `.npy` shards, as ArrayRecord and as TFRecord.

Everything is warmed up, the contestants take turns, and what is shown is the median of the rounds'
ratios. That of processor time, which counts all threads, is disturbed less by what else runs on
the machine.
Fashion-MNIST is read with `keras_kd.data.load`; without it, random images stand in.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_kd as kd
from keras_kd import stores

BATCH = 128
CPU = " (processor)"


def common(name: str, classes: int) -> keras.Model:
    """What many begin with: two convolutions, each with pooling, and one dense layer."""
    x = inputs = keras.Input((28, 28, 1))
    for width in (32, 64):
        x = keras.layers.Conv2D(width, 3, activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(classes)(x), name=name)


def tiny(name: str, classes: int) -> keras.Model:
    return network(name, 16, classes)


def network(name: str, channels: int, classes: int, depth: int = 1) -> keras.Model:
    x = inputs = keras.Input((28, 28, 1))
    for width in (channels, 2 * channels):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
        for _ in range(depth - 1):
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x), name=name)


def images(count: int, classes: int) -> tuple[kd.data.Part, str]:
    try:
        part, name = kd.data.load("fashion_mnist", download=False)["train"], "Fashion-MNIST"
        part = part.take(np.arange(min(count, len(part))))
    except kd.data.NotAvailable:
        x = np.random.default_rng(0).random((count, 28, 28, 1), "float32")
        ids = np.array([f"random/{i}" for i in range(count)])
        part, name = kd.data.Part(x, np.zeros(count, "int32"), ids), "random images"
    if classes != 10:
        y = np.random.default_rng(1).integers(0, classes, count).astype("int32")
        part = kd.data.Part(part.x, y, part.ids)
    return part, name


def in_turns(contestants: dict, rounds: int) -> dict[str, list[float]]:
    for run in contestants.values():
        run(), run()
    seconds: dict[str, list[float]] = {n + kind: [] for n in contestants for kind in ("", CPU)}
    for round_ in range(rounds):
        names = list(contestants) if round_ % 2 else list(contestants)[::-1]
        for name in names:
            start = time.perf_counter(), time.process_time()
            contestants[name]()
            seconds[name].append(time.perf_counter() - start[0])
            seconds[name + CPU].append(time.process_time() - start[1])
    return seconds


def compiled(model, terms=None, distil=False, teacher=None):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if distil:
        model = kd.Distiller(student=model, teacher=teacher, terms=terms)
    model.compile("adam", loss)
    return model


def epoch(rows: list, rounds: int, steps: int, folder: str) -> None:
    augment = kd.data.Augment(kd.data.Crop(2), kd.data.Flip())
    for classes, top_k in ((10, None), (1000, 16)):
        part, name = images(steps * BATCH, classes)
        path = f"{folder}/epoch-{classes}"
        manifest = stores.write(
            network("teacher", 8, classes), part, path, augment=augment, views=4, top_k=top_k,
            temperatures=4.0,
        )  # fmt: skip
        data = kd.data.tf_data(part).cache().shuffle(len(part), seed=0).batch(BATCH)
        feed, read = kd.data.feed(data, augment=augment, views=4), stores.read(path, data)
        loss = kd.losses.SoftTarget(4.0) if top_k is None else kd.losses.SparseSoftTarget(4.0)
        for student in (common, tiny):
            plain = compiled(student("plain", classes))
            terms = [kd.Labels(0.1), kd.Term(loss, weight=0.9)]
            ours = compiled(student("student", classes), terms, True)
            seconds = in_turns(
                {
                    "stored": lambda ours=ours, read=read: ours.fit(read, verbose=0),
                    "plain": lambda plain=plain, feed=feed: plain.fit(feed, verbose=0),
                },
                rounds,
            )
            what = f"epoch from a store / plain epoch, {student.__name__} student, {name}, "
            what += f"{classes:,} classes" + (f", top {top_k}" if top_k else "")
            what += f", {manifest.bytes_per_example() // 4} bytes an answer"
            add(rows, what, seconds, "stored", "plain", steps, "at most 1.05")


def text(rows: list, rounds: int, steps: int, folder: str) -> None:
    import keras_hub

    batch, length = 32, 64

    def llama(blocks: int, width: int, heads: int, vocabulary: int) -> keras.Model:
        backbone = keras_hub.models.LlamaBackbone(
            vocabulary_size=vocabulary, num_layers=blocks, hidden_dim=width,
            intermediate_dim=3 * width, num_query_heads=heads, num_key_value_heads=heads,
        )  # fmt: skip
        made = keras_hub.models.LlamaCausalLM(backbone=backbone, preprocessor=None)
        return keras.Model(made.input, made.output)  # whose `fit` is Keras's own

    for vocabulary in (1000, 8000):
        drawn = np.random.default_rng(0).zipf(1.2, (steps * batch, length + 1)) % vocabulary
        drawn = drawn.astype("int32")
        x = {"token_ids": drawn[:, :-1], "padding_mask": np.ones_like(drawn[:, 1:])}
        part = kd.data.Part(x, drawn[:, 1:], np.arange(len(drawn)))
        plain, feed = compiled(llama(2, 48, 2, vocabulary)), kd.data.feed(part, batch_size=batch)
        path, teacher = f"{folder}/text-{vocabulary}", llama(1, 48, 2, vocabulary)
        manifest = stores.write(teacher, part, path, top_k=8, dtype="int8", batch_size=batch)
        read = stores.read(path, part, batch_size=batch, shuffle=True)
        terms = [kd.Term(kd.losses.SparseSoftTarget(1.0))]
        ours = kd.Distiller(student=llama(2, 48, 2, vocabulary), terms=terms)
        ours.compile("adam")
        seconds = in_turns(
            {
                "stored": lambda ours=ours, read=read: ours.fit(read, shuffle=False, verbose=0),
                "plain": lambda plain=plain, feed=feed: plain.fit(feed, shuffle=False, verbose=0),
            },
            rounds,
        )
        what = f"epoch of text from a store / plain epoch, {vocabulary:,} tokens, "
        what += f"{manifest.bytes_per_token():.0f} bytes a token"
        add(rows, what, seconds, "stored", "plain", steps, "at most 1.10")


def live(rows: list, rounds: int, steps: int, folder: str) -> None:
    part, name = images(steps * BATCH, 10)
    student = network("s", 16, 10)
    for channels in (16, 32, 48, 64, 96):  # a teacher whose answers take ten times the student's
        teacher = network("t", channels, 10, depth=2)
        few = part.x[: 16 * BATCH]
        asked = in_turns(
            {
                m.name: lambda m=m, few=few: m.predict(few, batch_size=BATCH, verbose=0)
                for m in (student, teacher)
            },
            5,
        )
        times = statistics.median(asked["t" + CPU]) / statistics.median(asked["s" + CPU])
        if times >= 9:
            break
    stores.write(teacher, part, f"{folder}/live")
    data = kd.data.tf_data(part).cache().batch(BATCH)
    with_teacher = compiled(student, None, True, teacher)
    stored = compiled(network("s", 16, 10), None, True)
    feed, read = kd.data.feed(data), stores.read(f"{folder}/live", data)
    seconds = in_turns(
        {
            "live": lambda: with_teacher.fit(feed, verbose=0),
            "stored": lambda: stored.fit(read, verbose=0),
        },
        rounds,
    )
    what = f"live / stored, {name}, a teacher that takes {times:.0f} times the student's predict"
    add(rows, what, seconds, "live", "stored", steps, "at least 3")


def write(rows: list, rounds: int, steps: int, folder: str) -> None:
    part, name = images(8 * steps * BATCH, 10)
    steps = len(part) / BATCH
    teacher = network("t", 32, 10, depth=2)

    def fresh() -> keras.Model:  # both begin with a model that has not been compiled yet
        model = keras.models.clone_model(teacher)
        model.set_weights(teacher.get_weights())
        return model

    def written() -> None:
        shutil.rmtree(f"{folder}/write", ignore_errors=True)
        stores.write(fresh(), part, f"{folder}/write")

    seconds = in_turns(
        {
            "predict": lambda: fresh().predict(part.x, batch_size=BATCH, verbose=0),
            "write": written,
        },
        max(3, rounds // 2),
    )
    what = f"rate of stores.write / rate of predict, {name}, {len(part):,} examples"
    add(rows, what, seconds, "predict", "write", steps, "at least 0.9")


def add(rows, what, seconds, above, below, steps, wanted) -> None:
    def over(kind: str) -> list[float]:
        pairs = zip(seconds[above + kind], seconds[below + kind], strict=True)
        return sorted(a / b for a, b in pairs)

    wall, work = over(""), over(CPU)
    middle = len(work) // 4, -1 - len(work) // 4
    said = f"{statistics.median(wall):.3f} (processor {statistics.median(work):.3f})"
    spread = f"processor {work[middle[0]]:.3f} to {work[middle[1]]:.3f}"
    each = ", ".join(
        f"{name} {1e3 * statistics.median(seconds[name + CPU]) / steps:.2f}"
        for name in (above, below)
    )
    rows.append((what, said, spread, wanted, f"{each} ms of processor time a batch"))


#: Run in a process of its own, for its memory to be its own.
MEMORY = """
import resource, sys, time
import numpy as np, keras
import keras_kd as kd
from keras_kd import stores
path, count = sys.argv[1], int(sys.argv[2])
ids = np.array([f"example/{i:07d}" for i in range(count)])
part = kd.data.Part(np.zeros((count, 1), "float32"), np.zeros(count, "int32"), ids)
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 1e6
def run(data, batches=2000):
    most, times = 0.0, []
    for i in range(batches):
        start = time.perf_counter()
        data[i % len(data)]
        times.append(time.perf_counter() - start)
        if i % 20 == 0:
            most = max(most, resident())
    return most, 1e3 * float(np.median(times))
plain, plain_ms = run(kd.data.feed(part, shuffle=True))
start = time.perf_counter()
data = stores.read(path, part, shuffle=True)
opened = time.perf_counter() - start
data[0]
first = time.perf_counter() - start
most, ms = run(data)
print(most - plain, opened, first, ms - plain_ms)
"""


def memory(rows: list, counts: list[int], folder: str) -> None:
    for count in counts:
        path = f"{folder}/memory-{count}"
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1000, bias_initializer="normal")]
        )
        ids = np.array([f"example/{i:07d}" for i in range(count)])
        part = kd.data.Part(np.zeros((count, 1), "float32"), np.zeros(count, "int32"), ids)
        start = time.perf_counter()
        stores.write(model, part, path, batch_size=4096)
        written = time.perf_counter() - start
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, path, str(count)], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        more, opened, first, ms = map(float, run.stdout.split()[-4:])
        shutil.rmtree(path)
        rows.append((
            f"reading {count:,} × 1,000 classes ({count * 2000 / 1e6:,.0f} MB), shuffled",
            f"{more:+.0f} MB", "", "under 300 MB, 2 s",
            f"open {opened:.2f} s, with the first batch {first:.2f} s, {ms:.2f} ms a batch of 128; "
            f"written at {count / written:,.0f} examples a second",
        ))  # fmt: skip


def compression(rows: list, folder: str) -> None:
    part, name = images(10_000, 10)
    teacher, learner = common("teacher", 10), tiny("student", 10)
    compiled(teacher).fit(part.x, part.y, batch_size=BATCH, verbose=0)
    logits = teacher.predict(part.x, batch_size=BATCH, verbose=0)
    pred = learner.predict(part.x, batch_size=BATCH, verbose=0)
    live = keras.ops.convert_to_numpy(kd.losses.SoftTarget(4.0, reduction=None)(logits, pred))
    kinds = {
        "float32": {"dtype": "float32"}, "float16": {}, "int8": {"dtype": "int8"},
        "the 3 largest": {"top_k": 3, "temperatures": 4.0},
        "the 5 largest": {"top_k": 5, "temperatures": 4.0},
    }  # fmt: skip
    for kind, settings in kinds.items():
        path = f"{folder}/compressed-{kind}".replace(" ", "-")
        manifest = stores.write(teacher, part, path, **settings)
        stored = stores.Store(path)(part.ids, np.zeros(len(part), int))["teacher:output"]
        sparse = isinstance(stored, tuple)
        loss = kd.losses.SparseSoftTarget if sparse else kd.losses.SoftTarget
        now = keras.ops.convert_to_numpy(loss(4.0, reduction=None)(stored, pred))
        same = (stored[1][:, 0] if sparse else stored.argmax(1)) == logits.argmax(1)
        apart = f"loss {abs(now.mean() / live.mean() - 1):.1e} apart"
        rows.append((
            f"answers as {kind}, {name}, 10 classes", f"{manifest.bytes_per_example()} bytes", "", "",
            f"{apart}, first class the same for {same.mean():.2%}",
        ))  # fmt: skip


def containers(rows: list, count: int, folder: str) -> None:
    answers = np.random.default_rng(0).normal(size=(count, 1000)).astype("float16")
    some = np.random.default_rng(1).permutation(count)[: 200 * BATCH].reshape(-1, BATCH)

    def timed(run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def told(name, write_s, size, random_s, in_order_s) -> None:
        random = "no random access" if random_s is None else f"{1e3 * random_s / len(some):.2f} ms"
        rows.append((
            f"{name}, {count:,} × 1,000 float16", f"{size / answers.nbytes:.3f} of the bytes", "", "",
            f"written in {write_s:.2f} s, a random batch of 128: {random}, all in order "
            f"{in_order_s:.2f} s",
        ))  # fmt: skip

    npy = f"{folder}/a.npy"
    written = timed(lambda: np.save(npy, answers))
    mapped = np.load(npy, mmap_mode="r")
    random = timed(lambda: [mapped[batch] for batch in some])
    order = timed(lambda: [mapped[i : i + BATCH].copy() for i in range(0, count, BATCH)])
    told("npy, mapped", written, os.path.getsize(npy), random, order)

    try:
        from array_record.python import array_record_module as module
    except ModuleNotFoundError:
        rows.append(("ArrayRecord", "not installed", "", "", ""))
    else:
        path = f"{folder}/a.array_record"

        def to_records() -> None:
            writer = module.ArrayRecordWriter(path, "group_size:1")
            for row in answers:
                writer.write(row.tobytes())
            writer.close()

        written = timed(to_records)
        reader = module.ArrayRecordReader(path)
        random = timed(
            lambda: [
                np.stack([np.frombuffer(r, "float16") for r in reader.read(b.tolist())])
                for b in some
            ]
        )
        order = timed(
            lambda: [
                np.stack(
                    [np.frombuffer(r, "float16") for r in reader.read(i, min(i + BATCH, count))]
                )
                for i in range(0, count, BATCH)
            ]
        )
        told("ArrayRecord", written, os.path.getsize(path), random, order)

    import tensorflow as tf

    path = f"{folder}/a.tfrecord"

    def to_tfrecords() -> None:
        with tf.io.TFRecordWriter(path) as writer:
            for row in answers:
                writer.write(row.tobytes())

    written = timed(to_tfrecords)
    data = tf.data.TFRecordDataset(path).batch(BATCH).map(lambda r: tf.io.decode_raw(r, "float16"))
    order = timed(lambda: sum(1 for _ in data))
    told("TFRecord", written, os.path.getsize(path), None, order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--most", type=int, default=1_000_000, help="examples of the largest store")
    parser.add_argument(
        "--only",
        nargs="*",
        default=["epoch", "text", "live", "write", "compression", "memory", "containers"],
    )
    args = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        measured = {"epoch": epoch, "text": text, "live": live, "write": write}
        for name, run in measured.items():
            if name in args.only:
                run(rows, args.rounds, args.steps, folder)
        if "compression" in args.only:
            compression(rows, folder)
        if "memory" in args.only:
            memory(rows, [n for n in (10**4, 10**5, 10**6) if n <= args.most], folder)
        if "containers" in args.only:
            containers(rows, min(args.most, 100_000), folder)
    title = (
        f"keras {keras.__version__}, {keras.config.backend()}, {os.cpu_count()} cores, batch {BATCH}, "
        f"{args.steps} steps a round, {args.rounds} rounds"
    )
    table = Table("measured", "median", "half of the rounds", "wanted", "of", title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
