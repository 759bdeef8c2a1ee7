"""The report as a page: one file that loads no other, also for narrow screens."""

from html import escape

from keras_kd.report import _plots, _rows
from keras_kd.report._results import Results

_STYLE = """
.kkd { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 60rem;
  margin: 0 auto; padding: 0 1rem 2rem; }
.kkd h1 { font-size: 1.3rem; line-height: 1.35; margin: 1.2rem 0 .4rem; }
.kkd h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
.kkd p { margin: .2rem 0; }
.kkd .note { color: #5c5c5c; font-size: .82rem; }
.kkd .wide { overflow-x: auto; }
.kkd table { border-collapse: collapse; font-size: .88rem; color: inherit; margin: 0; }
.kkd th, .kkd td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4;
  white-space: nowrap; background: #fff; color: inherit; }
.kkd th { font-weight: 600; white-space: normal; }
.kkd th:first-child { text-align: left; position: sticky; left: 0; padding-left: 0;
  font-weight: 400; min-width: 6rem; max-width: 12rem; }
.kkd .judged { font-weight: 600; }
.kkd thead th { vertical-align: bottom; }
.kkd img.plot { max-width: 100%; height: auto; }
.kkd .gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr));
  gap: .8rem; }
.kkd figure { margin: 0; font-size: .78rem; line-height: 1.35; overflow-wrap: anywhere; }
.kkd figure img { width: 100%; image-rendering: pixelated; border: 1px solid #ddd; }
@media (max-width: 40rem) {
  .kkd table { font-size: .82rem; }
  .kkd th, .kkd td { padding: .25rem .4rem; }
}
"""

_CAPTIONS = {
    "accuracy against costs": "Accuracy against costs",
    "reliability": "Reliability: how often a prediction of this confidence is right (dots: the mean "
    "confidence of each bin)",
    "training": "Training",
    "importance": "Channels that the predictions depend on",
    "similarity": "Similarity of the layers (linear CKA)",
}


def page(report: Results) -> str:
    """The whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.judged)}: report</title></head>"
        f'<body style="margin:0">{body(report, pictures=True)}</body></html>\n'
    )


def body(report: Results, pictures: bool) -> str:
    """Verdict, tables and pictures; `pictures` needs matplotlib."""
    parts = [f"<style>{_STYLE}</style>", f"<h1>{escape(report.verdict)}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in report.details()]
    tables = _rows.tables(report)
    parts += [_table(table, report) for table in tables[:2]]
    if pictures:
        for name, figure in _plots.figures(report).items():
            caption = escape(_CAPTIONS[name])
            parts.append(
                f'<h2>{caption}</h2><img class="plot" alt="{caption}" src="{_plots.as_uri(figure)}">'
            )
    else:
        parts.append('<p class="note">Pictures need: pip install "keras-kd[report]".</p>')
    parts += [_table(table, report) for table in tables[2:]]
    if report.changed is not None:
        parts.append(_changed_examples(report, "From wrong to right", report.changed.won, pictures))
        parts.append(
            _changed_examples(report, "From right to wrong", report.changed.lost, pictures)
        )
    return f'<div class="kkd">{"".join(parts)}</div>'


def _table(table: _rows.Table, report: Results) -> str:
    judged_columns = [i for i, name in enumerate(table.headings) if name == report.judged]

    def cell(tag: str, column: int, text: str) -> str:
        attribute = ' class="judged"' if column in judged_columns else ""
        escaped = escape(text)
        if column:
            escaped = escaped.replace(" (", "<br>(")
        return f"<{tag}{attribute}>{escaped}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(table.headings))
    rows = "".join(
        "<tr>" + "".join(cell("td" if i else "th", i, t) for i, t in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _changed_examples(report: Results, title: str, examples: object, pictures: bool) -> str:
    """Some of the examples that changed, as images where there are some, else as text."""
    changed = report.changed
    indices = [int(i) for i in examples]  # type: ignore[attr-defined]
    if changed is None or not indices:
        return ""

    def caption_of(i: int) -> str:
        return (
            f"{escape(report.baseline or '')}: {escape(changed.before[i])}<br>"
            f"{escape(report.judged)}: {escape(changed.after[i])}<br>right: {escape(changed.truth[i])}"
        )

    shown = [i for i in indices if i in report.pictures]
    if pictures and shown:
        figures = "".join(
            f'<figure><img alt="example {i}" src="{_plots.image_as_uri(report.pictures[i])}">'
            f"<figcaption>{caption_of(i)}</figcaption></figure>"
            for i in shown
        )
        count = f"{len(shown)} of {len(indices):,}"
        return f'<h2>{title} ({count})</h2><div class="gallery">{figures}</div>'
    shown = indices[:12]
    lines = "".join(f"<figure><b>example {i:,}</b><br>{caption_of(i)}</figure>" for i in shown)
    return f'<h2>{title} ({len(shown)} of {len(indices):,})</h2><div class="gallery">{lines}</div>'
