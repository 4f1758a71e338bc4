"""How the page looks, against what was accepted: screenshots as coarse grids of colours.

The page brings its fonts, so machines differ in the edges of letters only. Each part of the page is averaged to 32 x 18 cells of three colours;
every cell may differ by a little and a few by more, so that another version of Chromium passes, and a part that moved, overflowed, lost its
colours or was not drawn does not. After a change that is meant: look at the page, then run this file with ACCEPT_LOOKS=1.
"""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Open = Callable[..., Any]
Look = dict[str, Any]
COLUMNS, ROWS = 32, 18
CELL_LEVELS, DIFFERING_CELLS, MEAN_LEVELS, SIZE_SHARE = 26, 0.05, 5.0, 0.05
"""Levels (of 255) that a cell may be off; the share of cells that may be off by more; the mean over all; the change of size."""
ACCEPTED = Path(__file__).with_name("looks.json")
MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
PARTS = ("verdict", "dag-section", "gpus", "memory", "timeline", "choice")
BOXES = """parts => Object.fromEntries(parts.map(id => {
  const box = document.getElementById(id).getBoundingClientRect();
  return [id, [box.x + scrollX, box.y + scrollY, box.width, box.height]];
}))"""
AVERAGES = """async ({png, boxes, columns, rows}) => {
  const bytes = Uint8Array.from(atob(png), character => character.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const g = new OffscreenCanvas(image.width, image.height).getContext("2d");
  g.drawImage(image, 0, 0);
  const found = {};
  for (const [name, [left, top, width, height]] of Object.entries(boxes)) {
    const cells = [];
    for (let row = 0; row < rows; row += 1) for (let column = 0; column < columns; column += 1) {
      const x = Math.round(left + column * width / columns), y = Math.round(top + row * height / rows);
      const w = Math.max(1, Math.round(left + (column + 1) * width / columns) - x), h = Math.max(1, Math.round(top + (row + 1) * height / rows) - y);
      const {data} = g.getImageData(x, y, w, h), sums = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sums[c] += data[i + c];
      cells.push(...sums.map(sum => Math.round(4 * sum / data.length)));
    }
    found[name] = cells;
  }
  return found;
}"""


def looks(browser: Any, page: Any, parts: tuple[str, ...]) -> dict[str, Look]:
    """Size and colours of each part of the page as it stands."""
    boxes = page.evaluate(BOXES, list(parts))
    png = b64encode(page.screenshot(full_page=True, animations="disabled", caret="hide")).decode()
    blank = browser.new_page()
    try:
        found = blank.evaluate(AVERAGES, {"png": png, "boxes": boxes, "columns": COLUMNS, "rows": ROWS})
    finally:
        blank.close()
    return {
        name: {"size": [round(side) for side in boxes[name][2:]], "cells": b64encode(bytes(found[name])).decode()}
        for name in parts
    }


def cells(look: Look) -> NDArray[np.int64]:
    """Colours of a look, [cells, 3]."""
    return np.frombuffer(b64decode(look["cells"]), dtype=np.uint8).astype(np.int64).reshape(-1, 3)


def difference(one: Look, other: Look) -> str:
    """In what two looks differ more than machines do; nothing when they do not."""
    told = []
    if any(abs(a - b) > SIZE_SHARE * max(a, b) for a, b in zip(one["size"], other["size"], strict=True)):
        told.append(f"size {one['size']}, not {other['size']}")
    off = np.abs(cells(one) - cells(other)).max(axis=1)
    share, mean = float((off > CELL_LEVELS).mean()), float(off.mean())
    if share > DIFFERING_CELLS or mean > MEAN_LEVELS:
        first = int(np.argmax(off > CELL_LEVELS))
        told.append(
            f"{share:.0%} of the cells are off, by {mean:.1f} levels on average, first at row {first // COLUMNS}, column {first % COLUMNS}"
        )
    return "; ".join(told)


def check(mode: str, found: dict[str, Look]) -> None:
    """Compare with what was accepted, or accept."""
    accepted = json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {}
    if os.environ.get("ACCEPT_LOOKS"):
        ACCEPTED.write_text(
            json.dumps({**accepted, mode: {**accepted.get(mode, {}), **found}}, indent=0, sort_keys=True) + "\n"
        )
        return
    wrong = {name: difference(look, accepted[mode][name]) for name, look in found.items()}
    assert {name: told for name, told in wrong.items() if told} == {}


@pytest.mark.parametrize("mode", MODES)
def test_the_welcome_looks_as_accepted(browser: Any, open_page: Open, mode: str) -> None:
    page = open_page(**MODES[mode])
    page.evaluate("document.fonts.ready.then(() => true)")

    check(mode, {f"welcome {name}": look for name, look in looks(browser, page, ("asking",)).items()})


@pytest.mark.parametrize("mode", MODES)
def test_a_plan_looks_as_accepted(browser: Any, open_page: Open, plan_shown: Callable[..., Any], mode: str) -> None:
    page = plan_shown(open_page(**MODES[mode]))

    check(mode, looks(browser, page, PARTS))


def test_what_is_not_drawn_moved_or_in_other_colours_is_noticed(
    browser: Any, open_page: Open, plan_shown: Callable[..., Any]
) -> None:
    page = plan_shown(open_page(**MODES["light"]))
    right = looks(browser, page, PARTS)

    page.evaluate("document.getElementById('canvas').style.visibility = 'hidden'")
    page.evaluate("document.querySelector('#memory .bars').style.marginTop = '60px'")
    page.evaluate("document.documentElement.style.setProperty('--k-compute', '#ff00ff')")
    page.evaluate("document.getElementById('choice').style.width = '80%'")
    wrong = looks(browser, page, PARTS)

    noticed = {name for name in PARTS if difference(wrong[name], right[name])}
    assert {"dag-section", "memory", "timeline", "choice"} <= noticed
    assert "verdict" not in noticed
