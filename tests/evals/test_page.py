"""The report is one file that shows at a glance whether something got worse, and where."""

import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evals_support import entry, log_of

from evals.baseline import accepted_of
from evals.compare import compare
from evals.details import worst_samples
from evals.drawing import change_bar, dag_picture, histogram, scatter, share_bar
from evals.log import Log
from evals.page import to_html
from evals.report import verdict
from knowledge.resolve import resolve_model
from strategy.build import build
from strategy.strategy import AttentionMesh, Pool, Strategy

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
GOOD, BAD = (26, 127, 75), (192, 53, 43)
"""Colours of the verdict in the light scheme."""


def logs() -> tuple[Log, Log]:
    """A run, and one in which three samples got worse."""
    before = [entry(f"case-{n}", {"right": 1}, {"error": 0.1 + n % 4 / 100}) for n in range(24)]
    worse = [entry(f"case-{n}", {"right": float(n > 2)}, {"error": 0.3 + n % 4 / 100}) for n in range(24)]
    dag = build(
        resolve_model("llama-3.1-70b"), Strategy(pools=(Pool(stages=((0, 80),), attention=AttentionMesh(tp_size=4)),))
    )
    finding = {"code": "TP006", "path": "/blocks/1", "message": "a sum is missing", "severity": "error", "hint": ""}
    worse[0] = replace(worse[0], output={**worse[0].output, "dag": dag.model_dump(mode="json"), "findings": [finding]})
    return log_of(*before), log_of(*worse)


def pages() -> tuple[str, str]:
    before, after = logs()
    accepted = {suite.name: accepted_of(suite, before.config) for suite in before.suites}
    return tuple(to_html(log, compare(log, accepted), accepted) for log in (before, after))  # type: ignore[return-value]


def test_a_page_names_suite_scorer_and_samples_of_what_got_worse() -> None:
    good, bad = pages()

    assert "Passed: nothing got worse" in good
    assert "Failed: 2 regressions, 3 new failures in toy" in bad
    moved = bad[bad.index("Against the baseline") : bad.index(">Suites<")]
    assert all(word in moved for word in ("toy", "right", "case-0", "case-1", "case-2", "regression"))


def test_a_page_needs_nothing_beside_itself() -> None:
    for page in pages():
        assert re.findall(r"(?:src|href)=[\"'](?!#)", page) == []
        assert re.findall(r"https?:|//cdn|@import|url\(|<script|<link", page) == []


def test_a_failed_sample_is_shown_with_its_dag_and_findings() -> None:
    page = pages()[1]
    shown = page[page.index("Worst samples") :]

    assert "TP006" in shown
    assert "all_reduce tp" in shown
    assert "input of case-0" in shown


def test_what_a_sample_says_cannot_break_the_page() -> None:
    log = log_of(entry("<script>alert(1)</script>", {"right": 0}, error="<img src=x onerror=y>"))

    page = to_html(log, compare(log, {}))

    assert "<script" not in page
    assert "<img" not in page


def test_failed_samples_come_first_among_the_worst() -> None:
    after = logs()[1]

    assert [one.sample for one in worst_samples(after.suites[0], compare(after, {}))][:3] == [
        "case-0",
        "case-1",
        "case-2",
    ]


def test_a_skipped_suite_is_seen_with_its_reason() -> None:
    log = log_of(skipped="set MESHWRIGHT_CALIBRATION")

    assert "set MESHWRIGHT_CALIBRATION" in to_html(log, compare(log, {}))


def test_the_verdict_tells_what_a_run_lacks() -> None:
    assert verdict(compare(log_of(), {})) == "failed: 1 suite without samples"


def test_pictures_hold_for_odd_values() -> None:
    assert "<rect" in histogram([1.0, 1.0])
    assert "(log)" in histogram([1.0, 1e4])
    assert histogram([float("nan")]) == ""
    assert 'class="good" width="0.0"' in share_bar(0.0, (0.0, 0.5))
    assert 'class="bad" width="0"' in share_bar(1.0, (0.8, 1.0), before=1.0)
    assert change_bar(0.0, (0.0, 0.0), "same").startswith("<svg")
    assert scatter([]).count("<circle") == scatter([(1.0, float("inf")), (0.0, 2.0)]).count("<circle") == 1
    assert dag_picture({}).startswith("<svg")


def pixels(path: Path, rows: int) -> np.ndarray:
    """The first rows of an 8-bit RGB(A) PNG as [rows, columns, 3]."""
    data, at, packed = path.read_bytes(), 8, b""
    width, _, _, kind = struct.unpack(">IIBB", data[16:26])
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + size] if name == b"IDAT" else b""
        at += size + 12
    depth = {2: 3, 6: 4}[kind]
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(-1, width * depth + 1)[:rows]
    image = np.zeros((rows, width * depth), np.int64)
    for y, row in enumerate(lines):
        above = image[y - 1] if y else np.zeros(width * depth, np.int64)
        image[y] = _unfiltered(row[0], row[1:].astype(np.int64), above, depth)
    return image.reshape(rows, width, depth)[:, :, :3]


def _unfiltered(kind: int, row: np.ndarray, above: np.ndarray, depth: int) -> np.ndarray:
    if kind == 0:
        return row
    if kind == 2:
        return (row + above) % 256
    if kind == 1:
        return (row.reshape(-1, depth).cumsum(axis=0) % 256).ravel()
    found = np.zeros_like(row)
    for x in range(len(row)):
        left, corner = (found[x - depth], above[x - depth]) if x >= depth else (0, 0)
        if kind == 3:
            guess = (left + above[x]) // 2
        else:
            guess = min((left, above[x], corner), key=lambda v: abs(left + above[x] - corner - v))
        found[x] = (row[x] + guess) % 256
    return found


def shot(page: str, folder: Path, rows: int) -> np.ndarray:
    """The top of a page as Chromium draws it."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    picture = folder / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1280,{rows + 100}"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}"]
    subprocess.run(
        [str(CHROMIUM), *options, (folder / "page.html").as_uri()], capture_output=True, check=True, timeout=180
    )
    return pixels(picture, rows)


def area(image: np.ndarray, colour: tuple[int, ...]) -> int:
    return int((np.abs(image - np.array(colour)).max(axis=2) < 12).sum())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
def test_a_browser_shows_at_the_top_that_nothing_got_worse(tmp_path: Path) -> None:
    top = shot(pages()[0], tmp_path, 420)

    assert area(top[:90], GOOD) > 40_000, "the verdict is a green banner over the whole width"
    assert area(top, BAD) == 0
    assert area(top[230:], GOOD) > 1_000, "the board of suites follows at once, with its bars"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
def test_a_browser_shows_at_the_top_what_got_worse_and_where(tmp_path: Path) -> None:
    top = shot(pages()[1], tmp_path, 420)

    assert area(top[:90], BAD) > 40_000, "the verdict is a red banner"
    assert area(top[100:210], BAD) > 300, "the numbers of regressions and new failures"
    moved = top[230:]
    assert area(moved[:, :150], BAD) > 3_000, "a mark for each thing that got worse, before anything else"
    assert area(moved[:, 400:700], BAD) > 50, "its change beside zero"
