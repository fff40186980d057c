"""What a person sees of a report: opened as a file with the network off, and printed.

PRAC_SHOTS=DIR keeps the screenshots and the PDF.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from support.crowd import crowded
from support.results import full_results, make_png

from prac.report.html import write_report

DESK, TABLET, PHONE = 1280, 768, 390
LAST = "Figures and tables lie beside this page"
INK = 128
"""Of 255: what is darker was printed."""
A4 = (595, 842)
"""Points."""

# Elements with content that reach out of the window, and are in nothing that scrolls by itself.
OUTSIDE = """[...document.querySelectorAll("body *")].filter(e => {
    const box = e.getBoundingClientRect();
    const scrolls = e.closest(".scroll, .card");
    return box.width > 0 && box.right > innerWidth + 1 && (!scrolls || scrolls === e);
}).map(e => `${e.tagName}.${e.className.baseVal ?? e.className}: ${e.textContent.slice(0, 40)}`)"""
# Width, height and number of drawn shapes of every figure on the page.
FIGURES = """[...document.querySelectorAll(".card > svg")].map(e => {
    const box = e.getBoundingClientRect();
    return [box.width, box.height, e.querySelectorAll("path, use").length];
})"""


# What it asked a server for, whether it was answered or not.
FETCHED = """performance.getEntriesByType("resource").map(e => e.name)
    .filter(name => !/^(file|data|blob):/.test(name))"""


@pytest.fixture(scope="module", params=["few", pytest.param("crowd", marks=pytest.mark.slow)])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a few methods, and one of results as large as they come."""
    results = full_results() if request.param == "few" else crowded(make_png(7))
    return write_report(results, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def offline(chromium: Any) -> Iterator[Any]:
    """The browser without a network."""
    chromium.call("Network.enable")
    limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    chromium.call("Network.emulateNetworkConditions", offline=True, **limits)
    yield chromium
    chromium.call("Network.emulateNetworkConditions", offline=False, **limits)


def _open(browser: Any, page: Path, width: int, **more: str) -> None:
    """Open the page and wait for the whole of it: its last words, and all its pictures."""
    browser.look(page.as_uri(), "What was found", LAST, width=width, **more)
    deadline = time.monotonic() + 60
    while browser.run("document.readyState") != "complete":
        assert time.monotonic() < deadline, "the page is still loading"
        time.sleep(0.2)


@pytest.mark.parametrize("width", [DESK, TABLET, PHONE])
def test_the_page_shows_its_answer_and_fits(offline: Any, report: Path, width: int) -> None:
    name = f"report-{report.parent.name}-{width}"
    _open(offline, report, width, shot=name)
    assert offline.run(FETCHED) == []
    # The answer is on the first screen.
    top = offline.run("document.querySelector('.verdict .headline').getBoundingClientRect().top")
    assert 0 < top < 800
    assert "undecided" in offline.run("document.querySelector('.verdicts').innerText")
    assert offline.run("document.documentElement.scrollWidth") <= width
    assert offline.run(OUTSIDE) == []
    # Commands are there to be copied: all of them is seen.
    wide = "[...document.querySelectorAll('code.copy')].filter(e => e.scrollWidth > e.clientWidth)"
    assert offline.run("document.querySelectorAll('code.copy').length") > 0
    assert offline.run(f"{wide}.length") == 0
    # Details are folded; unfolded, they fit as well.
    assert width < DESK or offline.run("document.documentElement.scrollHeight") < 7000
    offline.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert offline.run("document.documentElement.scrollWidth") <= width
    assert offline.run(OUTSIDE) == []
    figures = offline.run(FIGURES)
    assert len(figures) >= 6
    for wide, high, shapes in figures:
        assert wide >= 300
        assert high >= 100
        assert shapes > 10
    # Every picture was decoded: none is a broken one.
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert offline.run(broken) == 0
    assert offline.run("document.images.length") >= 24


def test_it_prints_whole(offline: Any, report: Path) -> None:
    _open(offline, report, DESK)
    printed = pypdfium2.PdfDocument(offline.print(f"report-{report.parent.name}"))
    texts = []
    for number, page in enumerate(printed):
        assert page.get_size() == pytest.approx(A4, abs=2)
        texts.append(" ".join(page.get_textpage().get_text_range().split()))
        gray = page.render(scale=1, grayscale=True).to_numpy()
        assert (gray < INK).sum() > 200, f"page {number + 1} is blank"
        # Nothing reaches into the margin at the right, where a printer would cut it.
        assert gray[:, -20:].min() >= INK, f"page {number + 1} is cut off"
    text = " ".join(texts).replace("\u00a0", " ")
    assert "What was found" in texts[0] + texts[1]
    for part in ("Accuracy", "The bill", "Judging, which is evaluation", "Words", "never learned"):
        assert part in text
    assert "undecided" in texts[0] + texts[1]
