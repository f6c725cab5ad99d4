"""Equations as MathML, which browsers draw by themselves: no script, no font, no network."""

from __future__ import annotations

import re
from html import unescape

from latex2mathml.converter import convert

MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def as_mathml(html: str) -> str:
    """A page whose equations, as arithmatex marks them, are MathML."""

    def drawn(mark: re.Match[str]) -> str:
        display = "block" if mark["tag"] == "div" else "inline"
        return convert(unescape(mark["latex"]).strip(), display=display)

    return MARKED.sub(drawn, html)
