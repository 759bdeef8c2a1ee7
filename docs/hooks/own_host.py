"""Stops the build where a page would fetch something from another host when it is read."""

import pathlib
import re

from mkdocs.exceptions import PluginError

FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(https?:)?//[^"'\s>]*"""
    r"""|<link\b(?=[^>]*rel=["']?(?:stylesheet|icon|preconnect|preload))[^>]*href=["']?(https?:)?//[^>]*"""
    r"""|url\(["']?(https?:)?//[^)]*|@import\s+["'](https?:)?//[^"']*"""
    r"""|data-md-component=["']?source["' >]"""  # asks GitHub for the number of stars
)


def on_post_build(config):
    site = pathlib.Path(config.site_dir)
    found = [
        f"{path.relative_to(site)}: {fetched[0][:120]}"
        for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")])
        if "assets/stylesheets" not in path.as_posix()  # the theme's own
        for fetched in FETCHED.finditer(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError("pages that ask another host:\n" + "\n".join(found))
