# %% [markdown]
# # Language models
#
# A language model of film reviews teaches one with an eighth of its weights: on the texts of others, on
# texts that the student writes itself, from stored outputs, and as one that drafts for its teacher.
#
# **Time:** ten minutes on a laptop's CPU. **At the end you have:** a student that writes, a table of
# six ways to train it, and the bytes that a stored token takes. Needs `pip install "keras-kd[hub]"`.

# %%
import json
import logging
import os
import shutil
from pathlib import Path

import keras
import keras_hub
import matplotlib.pyplot as plt
import numpy as np
import tokenizers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer texts and steps: a check, not a result
TEACHER_STEPS, STEPS, WRITTEN = (20, 10, 4) if QUICK else (800, 250, 50)
VOCABULARY, LENGTH, BATCH = 1000, 64, 32
OUT = Path("out")
OUT.mkdir(exist_ok=True)
for before in OUT.glob("tokens-*"):  # of an earlier run, whose teacher was another
    shutil.rmtree(before)
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # data sets are read in an old way

# %% [markdown]
# ## Texts and tokens
#
# The texts are reviews of IMDb. Where that set is not to be had, the next cell makes some up, of six
# words each; what follows then shows the way and no more.


# %%
def made_up(count, seed):
    draw = np.random.default_rng(seed)
    things, verbs = ["plot", "cast", "music", "ending"], ["bored", "moved", "surprised", "lost"]
    return [f"the {draw.choice(things)} of this film {draw.choice(verbs)} me" for _ in range(count)]


try:
    imdb = kd.data.load("imdb_reviews", download=not QUICK)
    texts, held_out = imdb.x_train, imdb.x_test
except kd.data.NotAvailable:
    texts, held_out = made_up(2000, 1), made_up(500, 2)
texts, held_out = ([str(t).replace("<br />", " ") for t in part] for part in (texts, held_out))
texts, held_out = texts[: 500 if QUICK else 20_000], held_out[: 64 if QUICK else 512]
print(f"{len(texts):,} to train on; the first: {texts[0][:90]}...")

# %% [markdown]
# The tokenizer is a byte-level BPE, learned here. KerasHub's models read texts by a preprocessor: it cuts
# a text into tokens, pads it, and makes the labels, which are the same tokens one place to the left.

# %%
learned = tokenizers.Tokenizer(tokenizers.models.BPE())
learned.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=VOCABULARY,
    special_tokens=["<|padding|>", "<|endoftext|>"],  # 0 pads, so it must not end a text
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
learned.train_from_iterator(texts[:5000], trainer)
bpe = json.loads(learned.to_str())["model"]
tokenizer = keras_hub.models.GPT2Tokenizer(
    bpe["vocab"], [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
)
preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=LENGTH)
shown = tokenizer("this film is wonderful")
print([tokenizer.id_to_token(int(token)) for token in shown])

# %% [markdown]
# ## Teacher and student
#
# Two networks of GPT-2's kind, made from their settings; with more time you would take
# `GPT2CausalLM.from_preset(...)`. `compile("adam", "auto")` takes the cross-entropy that fits, and `fit`
# takes texts. What stands at padding counts nowhere.


# %%
def language_model(blocks, width, name):
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=len(bpe["vocab"]),
        num_layers=blocks,
        num_heads=4,
        hidden_dim=width,
        intermediate_dim=4 * width,
        max_sequence_length=LENGTH,
        dropout=0.0,
    )
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor, name=name)


def train(model, terms, steps=STEPS, teacher=None, data=None, **more):
    """The model, after so many steps at a rate that falls to nothing."""
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    distiller = kd.Distiller(student=model, teacher=teacher, terms=terms)
    labels = any(isinstance(term, kd.Labels) for term in terms)
    distiller.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "auto" if labels else None)
    if data is None:  # as many texts as the steps need, over and over
        rows = np.random.default_rng(1).permutation(max(len(texts), steps * BATCH))
        data = [texts[row % len(texts)] for row in rows[: steps * BATCH]]
        more["batch_size"] = BATCH
    distiller.fit(data, verbose=0, **more)
    return model


teacher = train(language_model(4, 128, "teacher"), [kd.Labels()], TEACHER_STEPS)
models = {"teacher": teacher}
models["alone"] = train(language_model(2, 48, "alone"), [kd.Labels()])
print({name: f"{model.count_params():,} weights" for name, model in models.items()})

# %% [markdown]
# ## Which divergence
#
# The student sees the teacher's distribution over all tokens at each place. `gkd` compares the two
# distributions: with `beta=0.0` by the forward KL divergence, which asks the student to cover all that the
# teacher finds likely; with `beta=1.0` by the reverse one, which asks it to say nothing that the teacher
# finds unlikely; and by the Jensen-Shannon divergence between.

# %%
for name, beta in (("forward", 0.0), ("Jensen-Shannon", 0.5), ("reverse", 1.0)):
    student = language_model(2, 48, name)
    models[name] = train(student, kd.recipes.gkd(beta=beta), teacher=teacher)

# %% [markdown]
# A cross-entropy for each token depends on how long the tokens are. **Bits per byte** do not: what a text
# costs, in bits, over its bytes. Reviews that nobody has trained on:

# %%
x, y, weights = (keras.tree.map_structure(np.asarray, part) for part in preprocessor(held_out))
sizes = kd.metrics.token_bytes(tokenizer)


def measured(models):
    return kd.report.compare_language(models, (x, y, weights), token_bytes=sizes, latency=False)


report = measured(models)
print(report)
bits = {name: scores.bits_per_byte for name, scores in report.models.items()}
if not QUICK:
    assert bits["teacher"] < bits["forward"] < bits["alone"], "the teacher's distributions help"

# %% [markdown]
# Bits per byte are the forward divergence's own measure, so what trains by it has an advantage in this
# column. The reverse one gives few tokens much probability: bad at foretelling what others wrote, and not
# therefore bad at writing.
#
# ## What it writes
#
# `generate` continues a prompt. The sampler is chosen by `compile`; here it draws from the whole
# distribution.


# %%
def writes(model, prompt="this film is", seed=1):
    model.compile(sampler=keras_hub.samplers.RandomSampler(seed=seed))
    return model.generate(prompt, max_length=24 if QUICK else 40)


for name in ("teacher", "alone", "forward", "reverse"):
    print(f"{name:>8}: {writes(models[name])!r}")

# %% [markdown]
# ## On its own texts
#
# What a student writes soon differs from the texts that it was trained on, and there it was never
# corrected. `OnPolicy` lets the student write, and the teacher marks each token of it; `share` says how
# many of the texts are the student's own, and `data` gives the others. This student goes on from the one
# of the forward divergence, for it has to write something worth marking.

# %%
prompts = [" ".join(text.split()[:6]) for text in texts[:2000]]
prompts = [prompt for prompt in prompts if len(tokenizer(prompt)) < LENGTH // 2]
own = language_model(2, 48, "own texts")
own.set_weights(models["forward"].get_weights())
own.compile(sampler="random")
source = kd.sources.OnPolicy(
    prompts,
    max_length=LENGTH,
    batch_size=BATCH,
    data=texts[:2000],
    share=kd.schedules.Linear(0.0, 1.0, max(1, WRITTEN // 2)),
    seed=1,
)
models["own texts"] = train(
    own, kd.recipes.gkd(beta=0.5), WRITTEN, teacher, source, steps_per_epoch=WRITTEN
)

# %% [markdown]
# ## Stored once
#
# A teacher that is too large to stand beside its student predicts once, into files. Of a thousand logits a
# token eight are kept: the largest, or eight that are drawn by their probability, which leaves the
# student's mean gradient what it would be. Of all other tokens the largest tell only what they have
# together, so a student learns by them beside its labels.

# %%
rows = [texts[i] for i in range(256 if QUICK else 6000)]
inputs, labels, counts = (keras.tree.map_structure(np.asarray, p) for p in preprocessor(rows))
part = kd.data.Part(inputs, labels, np.arange(len(rows)))
kinds = {"largest": ({"top_k": 8}, kd.losses.SparseSoftTarget(1.0)),
         "drawn": ({"sampled": 8}, kd.losses.SampledSoftTarget(1.0))}  # fmt: skip
for kind, (codec, loss) in kinds.items():
    folder = OUT / f"tokens-{kind}"
    kd.stores.write(teacher, part, folder, temperatures=1.0, batch_size=64, **codec)
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{kind}: {held / labels.size:.0f} bytes a token, padding included")
    stored = kd.stores.read(folder, part, batch_size=BATCH, shuffle=True, seed=1)
    epochs = max(1, STEPS // len(stored))
    models[f"8 {kind}"] = train(
        language_model(2, 48, kind),
        [kd.Labels(0.5), kd.Term(loss, target="teacher:output", weight=0.5)],
        epochs * len(stored), data=stored, epochs=epochs,
    )  # fmt: skip

# %% [markdown]
# ## One that drafts
#
# In speculative decoding a small model drafts a few tokens, the large one looks at all of them at once and
# keeps those up to the first that it rejects. What counts is how many it keeps, the **acceptance length**.
# `draft` trains for that.

# %%
models["draft"] = train(language_model(2, 48, "draft"), kd.recipes.draft(), teacher=teacher)
report = measured(models)
print(report)

# %%
scores = {name: s for name, s in report.models.items() if name != "teacher"}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
places = range(len(scores))
left.plot([s.bits_per_byte for s in scores.values()], places, "o", color="#4477aa")
left.axvline(report.models["teacher"].bits_per_byte, color="black", linestyle=":", label="teacher")
left.legend(loc="lower right")
left.set_xlabel("bits per byte, less is better")
left.set_yticks(places, list(scores))
right.plot([s.acceptance_length for s in scores.values()], places, "o", color="#ee7733")
right.set_xlabel("of 4 drafted tokens accepted, more is better")
for axes in (left, right):
    axes.grid(axis="y", alpha=0.4)
left.invert_yaxis()
plt.show()
if not QUICK:
    kept = {name: s.acceptance_length for name, s in scores.items()}
    assert kept["draft"] > kept["alone"], "it drafts better than one that has not seen the teacher"

# %% [markdown]
# This is one seed, and the two that learned from stored outputs had 188 steps where the others had 250.
# `benchmarks/language.py` in the repository trains a pair like this from five seeds in equal steps, with
# intervals, and shows what loses as well.
#
# ## The student, kept
#
# Its weights go into one file, and the tokenizer into another: two lists that the model is of no use without.

# %%
kept = models["forward"]
kept.save_weights(OUT / "writer.weights.h5")
(OUT / "writer.json").write_text(json.dumps({"vocab": bpe["vocab"], "merges": bpe["merges"]}))
again = language_model(2, 48, "again")
again.load_weights(OUT / "writer.weights.h5")
some = {name: part[:4] for name, part in x.items()}
one, other = (keras.ops.convert_to_numpy(model(some)) for model in (kept, again))
assert np.array_equal(one, other)
print(f"{(OUT / 'writer.weights.h5').stat().st_size / 1e3:.0f} kB")
