"""The plots of the results, from the rows and tables in benchmarks/."""

import collections
import csv
import io
import json
import pathlib
import re

import matplotlib
from matplotlib.figure import Figure

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
COLORS = {  # text, grid, then what is compared: the main thing, a quiet one, an accent, two more
    "light": ("#37474f", "#cfd8dc", "#00796b", "#90a4ae", "#ef6c00", "#1e6fc0", "#8e3ba8"),
    "dark": ("#cfd8dc", "#455a64", "#4db6ac", "#78909c", "#ffb74d", "#64b5f6", "#ce93d8"),
}


def drawn(name, on):
    """The plot as SVG, transparent, in the colors of one scheme."""
    text, grid, *_ = COLORS[on]
    style = {
        "text.color": text, "axes.labelcolor": text, "axes.edgecolor": grid, "xtick.color": text,
        "ytick.color": text, "grid.color": grid, "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "font.size": 10,
        "legend.frameon": False, "svg.hashsalt": name, "grid.linewidth": 0.6,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = globals()[name](COLORS[on][2:])
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def rows(name):
    with open(BENCHMARKS / "results" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_seed(table, key, value, scale=1.0):
    """Values of all seeds, by what was run, in the order of the file."""
    values = collections.OrderedDict()
    for row in table:
        values.setdefault(row[key], []).append(scale * float(row[value]))
    return values


def mean(values):
    return sum(values) / len(values)


def strip(axes, values, colors):
    """One line for each thing that was run: a dot for each seed, a bar at their mean."""
    main, quiet, accent, *_ = colors
    for place, (name, seeds) in enumerate(reversed(values.items())):
        color = accent if "teacher" in name else quiet if "alone" in name else main
        axes.plot(seeds, [place] * len(seeds), "o", color=color, alpha=0.5, markersize=5)
        axes.plot([mean(seeds)], [place], "|", color=color, markersize=18, markeredgewidth=3)
    axes.set_yticks(range(len(values)), list(values)[::-1])
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.grid(axis="y", visible=False)


def gains(colors):
    """The tables of recipes, side by side: one bar for each recipe."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    section = text.split("## Every recipe on real images")[1].split("\n## ")[0]
    tables = re.split(r"^\| recipe .*\n\|[-|: ]+\n", section, flags=re.MULTILINE)[1:]
    found = []
    for table in tables:
        lines = re.findall(r"^\| (\w+) \| [\d.]+ \| ([+-][\d.]+) ", table, re.MULTILINE)
        found.append({name: float(gain) for name, gain in lines})
    assert len(found) == 2, "the tables of recipes are not where they were"
    titles = "Fashion-MNIST", "CIFAR-10"
    order = sorted(found[0], key=found[0].get)
    figure = Figure(figsize=(8, 7.6), layout="constrained")
    for axes, title, gain in zip(figure.subplots(1, 2, sharey=True), titles, found, strict=True):
        heights = [gain.get(name, 0.0) for name in order]
        axes.barh(order, heights, color=[colors[0] if h > 0 else colors[2] for h in heights])
        axes.set_title(title)
        axes.set_xlabel("points over the student alone")
        axes.grid(axis="y", visible=False)
        axes.margins(y=0.01)
    return figure


def shares(colors):
    tasks = collections.OrderedDict()
    for row in rows("alpha.csv"):
        tasks.setdefault(row["task"], []).append(row)
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    for axes, (task, table) in zip(figure.subplots(1, len(tasks)), tasks.items(), strict=True):
        values = by_seed(table, "share", "accuracy", 100)
        for share, seeds in values.items():
            axes.plot([float(share)] * len(seeds), seeds, ".", color=colors[1])
        points = sorted((float(share), mean(seeds)) for share, seeds in values.items())
        axes.plot(*zip(*points, strict=True), "o-", color=colors[0])
        axes.set_title(task, fontsize=10)
        axes.set_xlabel("share of the teacher")
    figure.axes[0].set_ylabel("accuracy, %")
    return figure


def temperatures(colors):
    values = by_seed(rows("hinton_mnist.csv"), "run", "errors")
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for units, color in (("30", colors[2]), ("300", colors[0])):
        found = {
            float(at[1]): seeds
            for name, seeds in values.items()
            if (at := re.fullmatch(rf"student {units} distilled, T=([\d.]+)", name))
        }
        points = sorted((t, mean(seeds)) for t, seeds in found.items())
        for t, seeds in found.items():
            axes.plot([t] * len(seeds), seeds, ".", color=color, alpha=0.4)
        axes.plot(*zip(*points, strict=True), "o-", color=color, label=f"{units} units")
        alone = mean(values[f"student {units} alone"])
        axes.axhline(alone, color=color, linestyle=":", label=f"{units} units, alone")
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8, 20], ["1", "2", "4", "8", "20"])
    axes.set_xlabel("temperature")
    axes.set_ylabel("errors of 10,000")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def cifar(colors):
    return strips("cifar.csv", "method", "accuracy on CIFAR-10, %", 2.9, colors)


def reviews(colors):
    return strips("imdb.csv", "run", "accuracy on 5,000 film reviews, %", 1.8, colors)


def language(colors):
    return strips("language.csv", "way", "bits per byte on film reviews", 4.2, colors, "bits")


def sentences(colors):
    return strips("sentences.csv", "way", "accuracy on SST-2, %", 2.4, colors)


def strips(table, run, label, height, colors, value="accuracy"):
    """The values of a table, a line for each thing that was run."""
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    strip(axes, by_seed(rows(table), run, value), colors)
    axes.set_xlabel(label)
    return figure


def files(colors):
    """Students that were trained on TensorFlow: the others lie on the same points."""
    table = json.loads((BENCHMARKS / "results" / "export.json").read_text())
    table = [row for row in table if row["backend"] == "tensorflow" and not row.get("target")]
    forms = list(dict.fromkeys(row["quantization"] for row in table))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    models = list(dict.fromkeys(row["model"] for row in table))
    for model, mark, color in zip(models, "osD^v", colors, strict=True):
        mine = {row["quantization"]: row for row in table if row["model"] == model}
        places = [forms.index(form) for form in mine]
        for axes, field in ((left, "size_ratio"), (right, "agreement")):
            values = [row[field] for row in mine.values()]
            axes.plot(places, values, mark, color=color, alpha=0.8, label=model)
    left.set_ylabel("size over the float32 weights")
    right.set_ylabel("agreement with the student")
    for axes in (left, right):
        axes.set_xticks(range(len(forms)), forms, rotation=30)
    left.legend(fontsize=8)
    return figure


def recovered(colors):
    """The accuracy by the number of images, for each number of bits and each way."""
    table = rows("recover.csv")
    bits = sorted({row["bits"] for row in table}, reverse=True)
    figure = Figure(figsize=(8, 3.0), layout="constrained")
    for axes, some in zip(figure.subplots(1, len(bits)), bits, strict=True):
        mine = [row for row in table if row["bits"] == some]
        for way, color in (("blocks and whole", colors[0]), ("whole", colors[2])):
            values = by_seed([row for row in mine if row["way"] == way], "images", "accuracy")
            for images, seeds in values.items():
                axes.plot([int(images)] * len(seeds), seeds, ".", color=color, alpha=0.4)
            points = sorted((int(images), mean(seeds)) for images, seeds in values.items())
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=way)
        flat = [float(row["accuracy"]) for row in mine if row["way"] == "rounded"]
        axes.axhline(mean(flat), color=colors[1], label="rounded")
        axes.axhline(mean([float(row["float"]) for row in mine]), color=colors[1], linestyle=":",
                     label="float")  # fmt: skip
        axes.set_title(f"{some} bits", fontsize=10)
        axes.set_xscale("log", base=2)
        axes.set_xticks([64, 256, 1024, 4096], ["64", "256", "1,024", "4,096"])
        axes.set_xlabel("images without labels")
    figure.axes[0].set_ylabel("accuracy, %")
    figure.axes[-1].legend(fontsize=8)
    return figure


def forecasts(colors):
    """Each larger run: its interval, what was forecast and what it came to, task by task."""
    table = [row for row in rows("forecast.csv") if row["what"] != "gain"]
    tasks = list(dict.fromkeys(row["task"] for row in table))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks)), tasks, strict=True):
        mine = [row for row in table if row["task"] == task]
        for place, row in enumerate(mine):
            low, high, told, came = (float(row[n]) for n in ("low", "high", "forecast", "measured"))
            axes.plot([place] * 2, [low, min(1, high)], color=colors[1], linewidth=3)
            axes.plot(place, told, "_", color=colors[0], markersize=9, markeredgewidth=2)
            inside = row["inside"] == "1"
            axes.plot(place, came, "o", color=colors[0] if inside else colors[2], markersize=5)
        axes.set_title(task, fontsize=10)
        axes.set_xticks([])
        axes.tick_params(labelsize=8)
    figure.axes[0].set_ylabel("accuracy; of friedman R²")
    return figure
