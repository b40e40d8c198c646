"""The pages of the smoke book in a browser: no script error, axe-core's rules, contrast in both
themes. Needs a Chromium on this machine; without one these tests are skipped."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import typer

from dataworth import tables

ROOT = Path(__file__).parents[2]
HTML = ROOT / "build" / "smoke" / "_build" / "html"
PAGES = sorted(
    p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if p.parts[-2] != "_static"
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# Every visible piece of text against what lies under it. In place of axe's own rule, which takes
# half of its time and calls text of the colour of its ground "incomplete": the very fault that
# blanked all verdicts in the dark theme.
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    const colours = chain.map((e) => parse(getComputedStyle(e).backgroundColor));
    return colours.reduce((under, colour) => over(colour, under), [255, 255, 255]);
  };
  const faults = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!text || !seen || element.closest("svg, mjx-container, script, style")) continue;
    const style = getComputedStyle(element), under = ground(element);
    const pair = [over(parse(style.color), under), under].map(luminance).sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio >= least) continue;
    faults.add(`${ratio.toFixed(2)}: ${element.className} "${text.slice(0, 50)}"`);
  }
  return [...faults];
}"""

# The button of the theme shows icons, whose hidden titles axe takes for its text.
AXE = """axe.run({exclude: ".theme-switch-button"}, {
  preload: false,
  rules: {"label-content-name-mismatch": {enabled: true}, "color-contrast": {enabled: false}},
}).then((found) => found.violations)"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not named:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)}, and CHROMIUM names none")
    # No sandbox of its own: in a container there is none to be had, and the pages are ours.
    options = {"executable_path": named, "args": ["--no-sandbox"]}
    with playwright.sync_playwright() as driver, driver.chromium.launch(**options) as found:
        yield found


@pytest.fixture
def page(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def axe():
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.skipif(not PAGES, reason="the smoke book has not been built here")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_and_reads_in_both_themes(name, page, axe):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((HTML / name).as_uri(), wait_until="load")
    assert errors == []
    assert (
        page.locator("article figure img").count()
        == page.locator("article figure a[href] img").count()
    )
    page.add_style_tag(content="* { transition: none !important; }")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert page.evaluate(CONTRAST) == [], theme
    page.evaluate(axe)
    found = page.evaluate(AXE)
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == []


REPORTS = {  # of `dataworth report`: table, options
    "flags": ("n,acc\n100,41.2\n200,52.6\n400,62.0\n800,69.1\n1600,74.8\n3200,79.0\n",
              ["--x", "n", "--y", "acc", "--law", "power", "--predict", "4000"]),
    "groups": ("n,loss,set\n100,2.1,a\n200,1.7,a\n400,1.42,a\n800,1.24,a\n1600,1.12,a\n"
               "100,2.4,b\n200,2.0,b\n400,1.72,b\n800,1.54,b\n1600,1.42,b\n",
               ["--x", "n", "--y", "loss", "--group", "set", "--shared", "k"]),
    "frontier": ("params,C,loss\n" + "".join(
        f"{n},{c},{1.7 + 406 * n**-0.34 + 410 * (c / 6 / n)**-0.28 + 0.002 * (i % 3):.4f}\n"
        for i, (n, c) in enumerate((f * c**0.5 * 0.04, c) for c in (1e19, 1e20, 1e21)
                                   for f in (0.25, 0.5, 1, 2, 4))),
        ["--law", "chinchilla", "--x", "N=params,D=C/(6*params)", "--y", "loss"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_reads_in_both_themes_and_on_a_phone(name, page, axe, tmp_path):
    from typer.testing import CliRunner

    from dataworth.fit.cli import register

    app = typer.Typer()
    register(app)
    table, options = REPORTS[name]
    (tmp_path / "runs.csv").write_text(table)
    out = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs.csv"), *options, "-o", str(out)])
    assert done.exit_code == 0, done.output
    page.goto(out.as_uri(), wait_until="load")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert page.evaluate(CONTRAST) == [], theme
    page.evaluate(axe)
    found = page.evaluate(AXE)
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_check_finds_text_of_the_colour_of_its_ground(page):
    page.set_content(
        '<body style="background:#121212"><div style="background:#ced6dd"><p style="color:#ced6dd">'
        'blank</p></div><p style="color:#ced6dd">read</p><p style="color:#444">dim</p></body>'
    )
    faults = page.evaluate(CONTRAST)
    assert [fault.split('"')[1] for fault in faults] == ["blank", "dim"]
    assert faults[0].startswith("1.00")


def test_a_table_is_sorted_by_any_head(page, tmp_path):
    rows = pd.DataFrame({"who": ["b", "a", "c", "d"], "n": [-2.0, 10, float("nan"), 3]})
    table = tables.show(rows, {"n": ".0f"}, sort="mine").data
    script = (ROOT / "book" / "_static" / "tables.js").as_uri()
    (tmp_path / "t.html").write_text(
        f'<meta charset="utf-8"><script src="{script}"></script>{table}'
    )
    page.goto((tmp_path / "t.html").as_uri())
    buttons = page.locator("thead button")
    assert buttons.count() == 2

    def order():
        return page.locator("tbody th").all_text_contents()

    assert order() == ["b", "a", "c", "d"]
    buttons.nth(1).click()
    assert order() == ["b", "d", "a", "c"]  # −2, 3, 10, and what is missing last
    buttons.nth(1).press("Enter")
    assert order() == ["a", "d", "b", "c"]
    assert page.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"
    buttons.nth(0).click()
    assert order() == ["a", "b", "c", "d"]
