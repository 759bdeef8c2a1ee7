"""The page of a search: one file that loads no other, also for narrow screens."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from keras_kd.auto._limits import amount

_STYLE = """
body { margin: 0; background: #fff; color: #1c1c1c; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 0 1rem 2rem; }
h1 { font-size: 1.3rem; line-height: 1.35; margin: 1.2rem 0 .4rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { margin: .2rem 0; } .note { color: #5c5c5c; font-size: .82rem; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.best { font-weight: 600; } tr.failed { color: #8a8a8a; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
@media (max-width: 40rem) { table { font-size: .8rem; } th, td { padding: .25rem .4rem; } }
"""


def page(result: Any, pictures: Mapping[str, str]) -> str:
    """The whole file; `pictures` are data URIs by name."""
    lines = result.summary()
    parts = [f"<h1>{escape(lines[0])}</h1>", *(f"<p>{escape(line)}</p>" for line in lines[1:])]
    parts.append(_three(result))
    for name, uri in pictures.items():
        parts.append(f'<h2>{escape(name.capitalize())}</h2><img alt="{escape(name)}" src="{uri}">')
        if name == "what mattered":
            parts.append(
                '<p class="note">Permutation importance in a forest of the trials: of these trials, '
                "which were drawn where the search looked, and no law.</p>"
            )
    parts += [
        "<h2>The winner again, without a search</h2>",
        f"<pre>{escape(result.code)}</pre>",
        _teacher(result),
        _trials(result),
        _dropped(result),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(str(result.best.values['student']))}: made to fit</title>"
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _table(headings: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table; each row with its class."""
    head = "".join(f"<th>{escape(h)}</th>" for h in headings)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for kind, cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _three(result: Any) -> str:
    headings = ["", f"{result.score_name}, validation", "test", "size", "one example"]
    rows = [
        ("best" if name.endswith("winner") else "", [name, *_cells(*values)])
        for name, *values in result.rows()
    ]
    how = (
        "Size and time of the teacher: its weights in float32, and its own file where that was "
        "measured; of the students: their files, one thread of this machine."
    )
    return _table(headings, rows) + f'<p class="note">{how}</p>'


def _cells(held: Any, test: Any, size: Any, took: Any) -> list[str]:
    return [
        "" if held is None else f"{held:.4f}",
        "" if test is None else f"{test:.4f}",
        "" if size is None else amount("size", size),
        "" if took is None else amount("latency", took),
    ]


def _teacher(result: Any) -> str:
    teacher = result.teacher
    told = [
        f"{result.score_name} {teacher['score']:.4f} on the validation data, "
        f"{teacher['train_score']:.4f} on the training data; a linear model "
        f"{teacher['linear_score']:.4f}."
    ]
    if teacher.get("ece") is not None:
        told.append(f"Calibration error {teacher['ece']:.4f}.")
    if teacher.get("confidence") is not None:
        told.append(f"Mean confidence {teacher['confidence']:.4f}.")
    if teacher.get("parameters") is not None:
        told.append(f"{teacher['parameters']:,} weights.")
    return f"<h2>The teacher</h2><p>{escape(' '.join(told))}</p>"


def _trials(result: Any) -> str:
    names = ("recipe", "temperature", "alpha", "hint", "learning_rate", "views")
    headings = ["student", *names, "epochs", result.score_name, "size", "s", ""]
    rows = []
    for trial in sorted(result.trials, key=lambda t: -t.objective):
        size = trial.costs.get("size")
        values = [trial.values.get(name) for name in names]
        cells = [
            trial.values["student"],
            *("" if v is None else v if isinstance(v, str) else f"{v:g}" for v in values),
            str(trial.epochs),
            "failed" if trial.score is None else f"{trial.score:.4f}",
            "" if size is None else amount("size", size),
            f"{trial.seconds:.1f}",
            trial.why or ("default" if trial.part == "default" else ""),
        ]
        same = trial.values == result.distilled.values and trial.why is None
        rows.append(("failed" if trial.why else "best" if same else "", cells))
    return f"<h2>All {len(rows)} trials</h2>" + _table(
        [h.replace("_", " ") for h in headings], rows
    )


def _dropped(result: Any) -> str:
    if not result.dropped:
        return ""
    rows = [("", [name, why]) for name, why in result.dropped.items()]
    return "<h2>Students that were left out</h2>" + _table(["student", "why"], rows)
