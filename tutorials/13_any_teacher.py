# %% [markdown]
# # Any teacher
#
# The best teacher at hand is often no Keras model. Here a forest becomes a network of 6 kB, a module of
# torch teaches a student that trains on JAX, and a model behind a server teaches one that never sees it.
#
# **Time:** four minutes on a laptop's CPU. **At the end you have:** `from_a_forest.tflite`, three stores
# of outputs, and one way to ask whatever predicts.

# %%
import http.server
import json
import os
import pickle
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path

if find_spec("jax"):  # the students train on JAX where it is installed; the teachers do not care
    os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3, 4, 5]
OUT = Path("out")
OUT.mkdir(exist_ok=True)
for before in OUT.glob("*-store"):  # of an earlier run, whose teachers were others
    shutil.rmtree(before)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
print(f"students train on {keras.config.backend()}")

# %% [markdown]
# ## From a forest to 6 kB
#
# Cells from 569 biopsies, described by 30 numbers each: malignant or benign. A forest of 200 trees is a
# fine teacher, and no network: it runs outside the training step, and its outputs come with the batch.
#
# `SklearnTeacher` makes logits of its probabilities. A tree that never votes for a class gives 0, whose
# logarithm has no end; `floor` says what 0 counts as.

# %%
x, y = load_breast_cancer(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=0)
scale = StandardScaler().fit(x).transform
x, x_test = scale(x).astype("float32"), scale(x_test).astype("float32")
y = y.astype("int32")

forest = RandomForestClassifier(200, min_samples_leaf=2, random_state=0).fit(x, y)
teacher = kd.sources.SklearnTeacher(forest, floor=0.01, name="forest")
forest_test = teacher(x_test)
print(f"forest: {forest.score(x_test, y_test):.1%} right, {len(pickle.dumps(forest)):,} bytes")

# %% [markdown]
# A forest is sure of the rows that it was fitted on: its outputs for these say little more than the
# labels. So it predicts them **out of fold**. And it can be asked about rows that nobody has measured:
# near each row we draw nine others, each with a third of its numbers from a close neighbor.


# %%
def rows_near(x, times, seed=0):
    """Rows in which some columns are exchanged with those of one of the ten nearest."""
    draw = np.random.default_rng(seed)
    near = NearestNeighbors(n_neighbors=11).fit(x).kneighbors(x, return_distance=False)
    parts = []
    for _ in range(times):
        other = x[near[np.arange(len(x)), draw.integers(1, 11, len(x))]]
        parts.append(np.where(draw.random(x.shape) < 1 / 3, other, x))
    return np.concatenate(parts)


out_of_fold = cross_val_predict(
    RandomForestClassifier(200, min_samples_leaf=2, random_state=0),
    x,
    y,
    cv=5,
    method="predict_proba",
)
more = rows_near(x, 9)
rows = np.concatenate([x, more])
labels = np.concatenate([y, np.full(len(more), -1, "int32")])  # -1: a row without a label
votes = np.concatenate([out_of_fold, forest.predict_proba(more)])

part = kd.data.Part(rows, labels, ids=np.arange(len(rows)))
answers = kd.stores.from_answers(
    votes, part.ids, OUT / "forest-store", kind="probabilities", floor=0.01, data=part
)
print(f"{len(x)} rows, and {len(more):,} that were drawn; {answers.bytes_per_example()} bytes each")

# %% [markdown]
# The outputs are in a store now, by the rows' ids, and the student reads them as it would from any other
# teacher. The control has the same network, the same first weights and the same number of steps, and
# the labels alone.

# %%
STEPS = 300 if QUICK else 3000


def network(seed, features, classes, width=32):
    keras.utils.set_random_seed(seed)
    body = [layers.Dense(width, activation="relu"), layers.Dense(width, activation="relu")]
    return keras.Sequential([keras.Input((features,)), *body, layers.Dense(classes)])


def trained(student, terms, batches, examples, batch_size=64, steps=STEPS, loss=loss):
    distiller = kd.Distiller(student=student, terms=terms)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    distiller.compile(keras.optimizers.Adam(rate), loss)
    distiller.fit(batches, epochs=max(1, round(steps * batch_size / examples)), verbose=0)
    return student


alone, distilled = [], []
for seed in SEEDS:
    plain = kd.data.feed(
        kd.data.Part(x, y, np.arange(len(x))), batch_size=64, shuffle=True, seed=seed
    )
    alone.append(trained(network(seed, 30, 2), [kd.Labels()], plain, len(x)))
    taught = kd.stores.read(OUT / "forest-store", part, batch_size=64, shuffle=True, seed=seed)
    terms = kd.recipes.hinton(temperature=2.0, alpha=0.9)
    distilled.append(trained(network(seed, 30, 2), terms, taught, len(rows)))


def right(model, x, y):
    return np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)


like_the_forest = {
    name: [right(model, x_test, forest_test.argmax(axis=1)) for model in models]
    for name, models in (("labels alone", alone), ("distilled", distilled))
}
accuracies = {
    name: [right(model, x_test, y_test) for model in models]
    for name, models in (("labels alone", alone), ("distilled", distilled))
}
for name in accuracies:
    print(
        f"{name:13} {np.mean(accuracies[name]):.1%} right, "
        f"{np.mean(like_the_forest[name]):.1%} as the forest"
    )

# %%
file = OUT / "from_a_forest.tflite"
proof = kd.export(
    distilled[0], file, quantization="int8", calibration=x, examples=x_test, labels=y_test
)
print(
    f"{proof.bytes:,} bytes; decides as the student for {proof.agreeing} of {proof.examples} rows"
)

size = {"forest": len(pickle.dumps(forest)), "student, int8": file.stat().st_size}
figure, (left, right_axis) = plt.subplots(1, 2, figsize=(8, 2.6))
left.barh(list(size), list(size.values()), color=["#7f7f7f", "#1b6ca8"])
left.set(xscale="log", xlabel="bytes", xlim=(1e3, 2e6))
left.bar_label(left.containers[0], fmt="{:,.0f}", padding=3, fontsize=8)
for place, values in enumerate(like_the_forest.values()):
    right_axis.scatter(np.full(len(values), place), values, color="#1b6ca8", alpha=0.5)
    right_axis.hlines(np.mean(values), place - 0.2, place + 0.2, color="#c0504d")
right_axis.set(
    xticks=[0, 1], xticklabels=list(like_the_forest), ylabel="as the forest", xlim=(-0.5, 1.5)
)
right_axis.yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1.0))
figure.tight_layout()
plt.show()

# %% [markdown]
# The student is a copy of the forest in a seventieth of its size: its answers are the forest's more often
# than those of a network from labels are. It is not more often right than that network. On a table as
# small and as easy as this one nothing is to be gained there, and the copy is the point.
#
# ## From torch to Keras
#
# A module of torch, trained in torch. `TorchTeacher` runs it in evaluation mode and without gradients,
# turns the images (torch has channels first), and gives what its inner modules return by their names:
# here the maps of `"3"`, its second ReLU, teach a layer of the student.

# %%
digits = kd.data.load("digits")
few = digits["train"].take(np.arange(300))


def small(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, padding="same", activation="relu", name="maps"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


by_torch = {}
if find_spec("torch"):
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(512, 10),
    )
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    images = torch.as_tensor(digits.x_train.transpose(0, 3, 1, 2).copy())
    targets = torch.as_tensor(digits.y_train.astype("int64"))
    for _ in range(4 if QUICK else 40):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(images[batch]), targets[batch]).backward()
            optimizer.step()

    from_torch = kd.sources.TorchTeacher(module, name="torch-cnn")
    by_torch["teacher"] = [np.mean(from_torch(digits.x_test).argmax(axis=1) == digits.y_test)]
    kd.stores.write(
        from_torch, few, OUT / "torch-store", addresses=("output", "3"), dtype="float32"
    )
    hint = {"pred": "student:maps", "target": "teacher:3"}
    ways = {
        "labels alone": lambda: [kd.Labels()],
        "logits and maps": lambda: [
            *kd.recipes.hinton(),
            kd.Term(kd.losses.AttentionMap(), **hint, weight=10.0),
        ],
    }
    for name, terms in ways.items():
        by_torch[name] = []
        for seed in SEEDS:
            batches = kd.stores.read(
                OUT / "torch-store", few, batch_size=32, shuffle=True, seed=seed
            )
            if name == "labels alone":
                batches = kd.data.feed(few, batch_size=32, shuffle=True, seed=seed)
            model = trained(
                small(seed), terms(), batches, len(few), batch_size=32, steps=STEPS // 3
            )
            by_torch[name].append(right(model, digits.x_test, digits.y_test))
    for name, values in by_torch.items():
        print(f"{name:17} {np.mean(values):.1%}")
else:
    print("torch is not installed, so this part was left out: pip install torch")

# %% [markdown]
# ## From a server
#
# A model that one may only ask. Here it is a kernel machine behind the interface of TensorFlow Serving,
# `{"instances": ...} -> {"predictions": ...}`, in a thread of this notebook; every seventh request fails,
# as servers do. `ServerTeacher` sends batches over several connections, tries again what failed, and the
# store keeps what was paid for: stop it at any time, write again, and it goes on.

# %%
machine = CalibratedClassifierCV(SVC(), ensemble=False, cv=3)
machine.fit(digits.x_train.reshape(-1, 64), digits.y_train)
requests = []


class Serving(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        requests.append(len(sent["instances"]))
        failed = len(requests) % 7 == 0
        images = np.array(sent["instances"]).reshape(-1, 64)
        answer = {"predictions": machine.predict_proba(images).tolist()}
        body = json.dumps({"error": "busy"} if failed else answer).encode()
        self.send_response(503 if failed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *about):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serving)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/v1/models/digits:predict"

# %%
remote = kd.sources.ServerTeacher(
    url, name="digits-server", kind="probabilities", connections=4, backoff=0.05
)
kd.stores.write(remote, digits["train"], OUT / "server-store", dtype="float32")
server.shutdown()
print(
    f"{len(requests)} requests for {len(digits['train']):,} images, {len(requests) // 7} of them failed"
)

batches = kd.stores.read(OUT / "server-store", digits["train"], batch_size=64, shuffle=True)
terms = kd.recipes.hinton(alpha=1.0)  # no labels among the terms, and no loss for them
student = trained(small(1), terms, batches, len(digits["train"]), loss=None)
machine_test = machine.predict(digits.x_test.reshape(-1, 64))
print(f"server  {np.mean(machine_test == digits.y_test):.1%}")
print(f"student {right(student, digits.x_test, digits.y_test):.1%}, which has seen no label")

# %% [markdown]
# Whatever else predicts is a function from a batch to an array: `kd.sources.FunctionTeacher(function,
# name=...)`. Files of ONNX, LiteRT and SavedModels, and models of transformers, have classes of their
# own; `kd.sources.live` asks ahead of each step in place of beforehand. From a shell: `keras-kd store
# teacher.onnx --data photos/ --out answers`.

# %%
assert file.stat().st_size < 9_000 < size["forest"] / 50
assert np.mean(like_the_forest["distilled"]) > (0.9 if QUICK else 0.95)
assert requests.count(0) == 0 and len(requests) > len(digits["train"]) // 8
assert right(student, digits.x_test, digits.y_test) > (0.7 if QUICK else 0.85)
if by_torch and not QUICK:
    assert np.mean(by_torch["logits and maps"]) > np.mean(by_torch["labels alone"])
