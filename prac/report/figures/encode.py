"""Figures as bytes: compact inline SVG and PNG; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re

from matplotlib.figure import Figure

PNG_DPI = 150
_MAX_PIXELS = 12_000

_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def to_svg(figure: Figure, prefix: str) -> str:
    """The figure as an `<svg>` element to put into HTML.

    prefix: begins every id, so that two figures on one page share none.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(\sd|\spoints)="([^"]*)"', _shorter, svg)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    return _renumber(svg, prefix).strip()


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG image; very wide ones at a lower resolution."""
    buffer = io.BytesIO()
    longest = max(float(side) for side in figure.get_size_inches())
    dpi = min(PNG_DPI, int(_MAX_PIXELS / longest))
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _shorter(found: re.Match[str]) -> str:
    numbers = re.sub(r"(\.\d\d)\d+", r"\1", found[2])
    return f'{found[1]}="{" ".join(numbers.split())}"'


def _renumber(svg: str, prefix: str) -> str:
    # matplotlib salts its ids at random unless a global setting says otherwise; numbers in the
    # order of appearance need no global setting, are shorter and always the same.
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    names: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        if found[1] not in used:
            return ""
        names.setdefault(found[1], f"{prefix}-{len(names)}")
        return f' id="{names[found[1]]}"'

    svg = re.sub(r'\sid="([^"]*)"', rename, svg)
    return re.sub(
        r'(href="#|url\(#)([^")]+)', lambda found: found[1] + names.get(found[2], found[2]), svg
    )
