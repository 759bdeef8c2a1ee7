"""Flow charts without a script in the reader's browser.

A fence of Mermaid's `flowchart` that is a tree of questions becomes nested lists: text that
searches, wraps on a phone and is copied like any other. GitHub draws the same fence by itself.
"""

import html
import re

FENCE = re.compile(r"^```mermaid\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
NODE = r"(\w+)(?:\[\"(.*?)\"\]|\{\"(.*?)\"\})?"
EDGE = re.compile(rf"{NODE}(?: -->(?:\|(.*?)\|)? {NODE})?")


def on_page_markdown(markdown, page, config, files):
    return FENCE.sub(lambda fence: drawn(fence[1], page.file.src_uri), markdown)


def drawn(chart, where="the chart"):
    head, *lines = [line.strip() for line in chart.strip().splitlines()]
    assert head.startswith("flowchart "), f"{where}: only Mermaid's flowchart is drawn, not {head}"
    words, asks, answers, ends = {}, set(), {}, set()
    for line in lines:
        edge = EDGE.fullmatch(line)
        assert edge, (
            f'{where}: {line!r} is no line of the form A{{"question"}} -->|answer| B["end"]'
        )
        start, end = edge.group(1, 2, 3), edge.group(5, 6, 7)
        for name, square, curly in (start, end):
            if square or curly:
                words[name] = square or curly
            if curly:
                asks.add(name)
        if not end[0]:
            continue
        assert end[0] not in ends, f"{where}: two lines lead to {end[0]}, so it is no tree"
        ends.add(end[0])
        answers.setdefault(start[0], []).append((edge[4], end[0]))
    (root,) = [name for name in answers if name not in ends]

    def node(name):
        text = html.escape(html.unescape(words[name]))
        shown = f"<b>{text}</b>" if name in asks else f"<code>{text}</code>"
        below = "".join(
            f"<li>{f'<i>{html.escape(answer)}</i> ' if answer else ''}{node(end)}</li>"
            for answer, end in answers.get(name, [])
        )
        return shown + (f"<ul>{below}</ul>" if below else "")

    return f'<div class="kd-chart">{node(root)}</div>'
