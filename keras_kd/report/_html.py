"""The report as a page: one file, nothing fetched, readable on a phone."""

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
    "reliability": "Reliability: how often an answer given so surely is right (dots: the mean "
    "confidence of each bin)",
    "training": "Training",
    "importance": "Channels that the answers depend on",
    "similarity": "Layers that say the same (linear CKA)",
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
    """All that is said; `pictures` needs matplotlib."""
    parts = [f"<style>{_STYLE}</style>", f"<h1>{escape(report.verdict)}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in report.details()]
    tables = _rows.tables(report)
    parts += [_table(one, report) for one in tables[:2]]
    if pictures:
        for name, figure in _plots.figures(report).items():
            caption = escape(_CAPTIONS[name])
            parts.append(
                f'<h2>{caption}</h2><img class="plot" alt="{caption}" src="{_plots.as_uri(figure)}">'
            )
    else:
        parts.append('<p class="note">Pictures need: pip install "keras-kd[report]".</p>')
    parts += [_table(one, report) for one in tables[2:]]
    if report.changed is not None:
        parts.append(_changed(report, "From wrong to right", report.changed.won, pictures))
        parts.append(_changed(report, "From right to wrong", report.changed.lost, pictures))
    return f'<div class="kkd">{"".join(parts)}</div>'


def _table(one: _rows.Table, report: Results) -> str:
    marked = [i for i, name in enumerate(one.headings) if name == report.judged]

    def cell(tag: str, place: int, text: str) -> str:
        mark = ' class="judged"' if place in marked else ""
        shown = escape(text)
        if place:
            shown = shown.replace(" (", "<br>(")
        return f"<{tag}{mark}>{shown}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(one.headings))
    rows = "".join(
        "<tr>" + "".join(cell("td" if i else "th", i, t) for i, t in enumerate(row)) + "</tr>"
        for row in one.rows
    )
    note = f'<p class="note">{escape(one.note)}</p>' if one.note else ""
    return (
        f'<h2>{escape(one.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _changed(report: Results, title: str, which: object, pictures: bool) -> str:
    """Some of the examples that changed, as pictures; without images, as lines."""
    lists = report.changed
    places = [int(i) for i in which]  # type: ignore[attr-defined]
    if lists is None or not places:
        return ""

    def words(i: int) -> str:
        return (
            f"{escape(report.baseline or '')}: {escape(lists.before[i])}<br>"
            f"{escape(report.judged)}: {escape(lists.after[i])}<br>right: {escape(lists.truth[i])}"
        )

    shown = [i for i in places if i in report.pictures]
    if pictures and shown:
        figures = "".join(
            f'<figure><img alt="example {i}" src="{_plots.image_as_uri(report.pictures[i])}">'
            f"<figcaption>{words(i)}</figcaption></figure>"
            for i in shown
        )
        count = f"{len(shown)} of {len(places):,}"
        return f'<h2>{title} ({count})</h2><div class="gallery">{figures}</div>'
    shown = places[:12]
    lines = "".join(f"<figure><b>example {i:,}</b><br>{words(i)}</figure>" for i in shown)
    return f'<h2>{title} ({len(shown)} of {len(places):,})</h2><div class="gallery">{lines}</div>'
