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
  const grounds = new Map([[null, [255, 255, 255]]]);
  const ground = (e) => {
    if (!grounds.has(e))
      grounds.set(e, over(parse(getComputedStyle(e).backgroundColor), ground(e.parentElement)));
    return grounds.get(e);
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

# The button of the theme shows icons, whose hidden titles axe takes for its text. The rule of links
# within text takes a third of axe's time on a chapter's page, and links look the same on all pages.
AXE = """(links) => axe.run({exclude: ".theme-switch-button"}, {
  preload: false,
  resultTypes: ["violations"],
  rules: {
    "label-content-name-mismatch": {enabled: true}, "color-contrast": {enabled: false},
    "link-in-text-block": {enabled: links},
  },
}).then((found) => found.violations)"""
LINKS = ("index.html", "glossary.html", "decide.html", "text/domains.html")


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
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    live = page.locator(".dataworth-take[data-figure]")
    for number in range(live.count()):  # each is loaded when it comes near
        live.nth(number).scroll_into_view_if_needed()
    page.wait_for_function(
        "n => document.querySelectorAll('figure .dataworth-figure svg').length === n",
        arg=live.count(),
    )
    assert [url for url in asked if not url.startswith("file:")] == []
    page.add_style_tag(content="* { transition: none !important; }")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert page.evaluate(CONTRAST) == [], theme
    page.evaluate(axe)
    found = page.evaluate(AXE, name in LINKS)
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
    found = page.evaluate(AXE, True)
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


def explored(page, folder, monkeypatch, figure):
    """A page with one figure that is explored, opened; gives the figure and the errors so far."""
    import matplotlib

    matplotlib.use("Agg")
    from dataworth.book import take
    from dataworth.figures import base

    told = []
    monkeypatch.setattr(base, "shell", lambda: True)
    monkeypatch.setattr(base, "aside", lambda _: None)
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata, raw: told.append((data, metadata))
    )
    base.show(figure, caption="c", name="fig-a")
    ((data, metadata),) = told
    cells = [{"id": "a", "outputs": [{"data": data, "metadata": metadata}]}]
    (found,) = take.figures({"cells": cells})
    (folder / "figures").mkdir()
    (folder / "figures" / "fig-a.js").write_text(take.script(found, "fig-a"), "utf-8")
    (folder / "fig-a.svg").write_bytes(found.data)
    static = ROOT / "book" / "_static"
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-content_root="./"><meta charset="utf-8">'
        "<title>t</title>"
        f'<link rel="stylesheet" href="{(static / "book.css").as_uri()}">'
        f'<script src="{(static / "figures.js").as_uri()}"></script><main><h1>h</h1>'
        '<figure id="fig-a"><img src="fig-a.svg" alt="a"></figure>'
        '<details class="dataworth-take" data-figure="fig-a"><summary>s</summary></details></main>',
        encoding="utf-8",
    )
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "page.html").as_uri())
    page.locator("figure svg").wait_for()
    return found, errors


def test_a_slider_reads_all_arms_off_at_one_value(page, axe, tmp_path, monkeypatch):
    """At every stop it tells the numbers of the figure's data file, of the arms that are shown."""
    from dataworth.figures import curves, draw

    sizes = [80, 320, 1280, 10240]
    arms = {
        "real": (sizes, [1.23456, 0.9, 0.5, 0.1], [1.1, 0.8, 0.4, 0.05], [1.3, 1, 0.6, 0.2]),
        "synthetic": (sizes[:3], [2.0, 1.5, 1.25]),
    }
    panels = [curves(arms, "images", side, title=side, log="x") for side in ("loss", "error")]
    figure, errors = explored(page, tmp_path, monkeypatch, draw(*panels))
    rows = [dict(zip(figure.drawn["columns"], r, strict=True)) for r in figure.drawn["rows"]]
    slider = page.get_by_label("Read off at images")
    slider.focus()
    for size in sizes:
        page.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == f"{size:,}"
        told = page.locator(".reading li").all_inner_texts()
        wanted = []
        for row in rows:
            if row["x"] == size and row["panel"] and row["y"] is not None:
                said = f"{row['y']:.3g}"
                if row["y_low"] is not None:
                    said += f" [{row['y_low']:.3g}, {row['y_high']:.3g}]"
                wanted.append(f"{row['panel']} · {row['series']} {row['panel']}: {said}")
        assert sorted(told) == sorted(wanted) and len(told) == (2 if size == sizes[-1] else 4)
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="synthetic").click()
    assert len(page.locator(".reading li").all()) == 2
    line, ring = page.locator(".dw-read line").first, float(figure.drawn["marks"][2][1])
    assert float(line.get_attribute("x1")) == pytest.approx(ring, abs=0.05)
    page.evaluate(axe)
    assert [v["id"] for v in page.evaluate(AXE, True)] == [] and errors == []


def static_page(page, folder, body):
    static = ROOT / "book" / "_static"
    links = "".join(
        f'<script src="{(static / name).as_uri()}"></script>' for name in ("tables.js", "hover.js")
    )
    (folder / "p.html").write_text(
        '<!doctype html><html lang="en" data-content_root="./"><meta charset="utf-8"><title>t'
        f'</title><link rel="stylesheet" href="{(static / "book.css").as_uri()}">{links}'
        f"<main><article>{body}</article></main>",
        encoding="utf-8",
    )
    page.goto((folder / "p.html").as_uri())


def test_sliders_choose_a_row_and_prices_make_a_bill(page, axe, tmp_path):
    """What is shown are the cells of the row as they are; the bill is prices times them."""
    head = ["real", "added", "loss", "worth as many further real images"]
    rows = [[n, m, f"0.{n}{m} [0.1, ∞]", f"{int(n) * int(m)} [1,000, ∞]"]
            for n in ("10", "20") for m in ("3", "5", "7")]  # fmt: skip
    cells = ["".join(f"<td>{x}</td>" for x in row) for row in rows]
    static_page(
        page, tmp_path,
        '<h1>h</h1><table class="table dataworth-dials dials-2"><thead><tr>'
        + "".join(f"<th>{x}</th>" for x in head)
        + f"</tr></thead><tbody><tr>{'</tr><tr>'.join(cells)}</tr></tbody></table>",
    )  # fmt: skip
    dials = page.locator(".dataworth-dial input[type=range]")
    for row in rows:
        for column in range(2):
            every = list(dict.fromkeys(r[column] for r in rows))
            dials.nth(column).fill(str(every.index(row[column])))
        assert page.locator(".dataworth-dial dd").all_inner_texts() == row[2:]
    prices = page.locator(".dataworth-dial input[type=number]")
    prices.nth(0).fill("2")
    prices.nth(1).fill("0.5")
    assert page.locator(".dataworth-dial p").inner_text() == (
        "The synthetic images cost 3.5; real ones that do the same 280 [2,000, any amount]."
    )
    page.evaluate(axe)
    assert [v["id"] for v in page.evaluate(AXE, True)] == []


def test_the_ledger_is_filtered_and_ordered(page, axe, tmp_path):
    def row(words, verdict, q, past=""):
        badge = '<span class="verdict verdict-{0}">{0}</span>'
        cells = [words, "2", f"{badge.format(verdict)} 1; q = {q}", past and badge.format(past)]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    head = "".join(f"<th>{x}</th>" for x in ("claim", "published", "this run", "recorded"))
    tables = {
        "one": [row("red fox", "supported", 0.2), row("grey fox", "contradicted", 0.01)],
        "two": [row("red hen", "inconclusive", 0.5, "supported")],
    }
    body = "".join(
        f'<section><h3>{name}</h3><div><table class="dataworth-ledger table"><thead><tr>{head}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
        for name, rows in tables.items()
    )
    static_page(page, tmp_path, f"<section><h1>h</h1><section><h2>p</h2>{body}</section></section>")

    def shown():
        rows = page.locator("tbody tr").all()
        return [r.locator("td").first.inner_text() for r in rows if r.is_visible()]

    assert shown() == ["red fox", "grey fox", "red hen"]
    verdict, order = page.locator(".dataworth-filter select").all()
    page.get_by_label("words").fill("RED")
    assert shown() == ["red fox", "red hen"]
    verdict.select_option("inconclusive")
    assert shown() == ["red hen"] and not page.get_by_role("heading", name="one").is_visible()
    assert page.locator(".dataworth-filter output").inner_text() == "1 of 3 claims"
    page.get_by_label("words").fill("")
    verdict.select_option("any")
    order.select_option("surest finding first")
    assert shown() == ["grey fox", "red fox", "red hen"]
    order.select_option("other verdict in the recorded run first")
    assert shown() == ["red hen", "red fox", "grey fox"]
    order.select_option("of the book")
    assert shown() == ["red fox", "grey fox", "red hen"]
    page.set_viewport_size({"width": 360, "height": 740})  # rows are cards there
    verdict.select_option("contradicted")
    assert shown() == ["grey fox"]
    page.evaluate(axe)
    assert [v["id"] for v in page.evaluate(AXE, True)] == []


def test_a_term_is_previewed_by_pointer_and_key(page, tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "previews.js").write_text(
        'dataworthPreviews({"glossary.html#term-arm": "One of the ways."});'
    )
    static_page(
        page, tmp_path,
        '<h1>h</h1><p><a href="glossary.html#term-arm">arm</a> <a href="x.html">x</a></p>',
    )  # fmt: skip
    tip, link = page.get_by_role("tooltip"), page.get_by_role("link", name="arm")
    link.hover()
    tip.wait_for()
    assert tip.inner_text() == "One of the ways."
    assert link.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert tip.count() == 0
    page.get_by_role("link", name="x").focus()
    assert tip.count() == 0
    link.focus()
    assert tip.inner_text() == "One of the ways."


def test_a_figure_tells_its_numbers_hides_arms_and_makes_axes_linear(
    page, axe, tmp_path, monkeypatch
):
    """Pointer and keys tell what the marks hold; a hidden arm is passed over; on a linear axis the
    middle of the ends is the middle of the panel."""
    from dataworth.figures import curves, draw

    arms = {"real": ([100, 505, 1000], [1.0, 0.9, 0.5]), "mixed": ([100, 505, 1000], [2, 2, 2])}
    panel = curves(arms, "images", "loss", log="x")
    figure, errors = explored(page, tmp_path, monkeypatch, draw(panel))
    svg = page.locator("figure svg")
    svg.focus()
    tip = page.locator(".tip")

    def after(key):
        page.keyboard.press(key)
        return tip.inner_text().split("\n")

    assert after("ArrowRight") == ["real", "images: 100", "loss: 1"]
    assert after("End") == ["mixed", "images: 1,000", "loss: 2"]
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    entry = page.get_by_role("button", name="mixed")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    gone = page.locator('[id^="fig-a-dw-1-"]')
    assert gone.count() and not any(part.is_visible() for part in gone.all())
    svg.focus()
    after("ArrowRight")
    assert after("ArrowRight") == ["real", "images: 505", "loss: 0.9"]
    ring = page.locator("circle.ring")
    log = float(ring.get_attribute("cx"))
    page.get_by_role("button", name="Linear x axis").click()
    svg.focus()
    after("ArrowRight")
    after("ArrowRight")
    panel, box = figure.drawn["panels"][0]["limits"], figure.drawn["panels"][0]["box"]
    part = (505 - panel[0]) / (panel[1] - panel[0])
    assert float(ring.get_attribute("cx")) == pytest.approx(
        box[0] + part * (box[2] - box[0]), abs=0.05
    )
    line = page.locator('[id^="fig-a-dw-0-"] path[d*="L"]').first.get_attribute("d")
    drawn = [float(pair.split()[0]) for pair in line.replace("M", "L").split("L")[1:]]
    assert drawn[1] == pytest.approx(float(ring.get_attribute("cx")), abs=0.05)
    page.get_by_role("button", name="Linear x axis").click()
    svg.focus()
    after("ArrowRight")
    after("ArrowRight")
    assert float(ring.get_attribute("cx")) == pytest.approx(log, abs=0.01)
    box = ring.bounding_box()
    svg.blur()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert tip.inner_text().split("\n") == ["real", "images: 505", "loss: 0.9"]
    page.evaluate(axe)
    assert [v["id"] for v in page.evaluate(AXE, True)] == []
    assert errors == []
