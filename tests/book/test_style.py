"""The book's own colours over the theme's, from the style sheets alone, in both themes."""

import re
from pathlib import Path

import pydata_sphinx_theme
import pytest
import sphinx_book_theme

from dataworth.verdicts import Verdict

ROOT = Path(__file__).parents[2]
THEMES = (pydata_sphinx_theme, sphinx_book_theme)
LEAST = 4.5  # WCAG 2.2, 1.4.3, text of ordinary size
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


def rules(path):
    """(selector, {property: value}) of a style sheet, in order."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    for selectors, body in RULE.findall(text):
        pairs = (line.split(":", 1) for line in body.split(";") if ":" in line)
        values = {name.strip(): value.replace("!important", "").strip() for name, value in pairs}
        for selector in selectors.split(","):
            yield selector.strip(), values


OURS = list(rules(ROOT / "book" / "_static" / "book.css"))
THEIRS = [
    rule
    for theme in THEMES
    for path in Path(theme.__file__).parent.glob("theme/*/static/styles/*theme.css")
    for rule in rules(path)
]


def variables(theme):
    found = {}
    of_theme = (":root", "html", f"html[data-theme={theme}]", f'html[data-theme="{theme}"]')
    for selector, values in [*THEIRS, *OURS]:
        if selector in of_theme:
            found |= {name: value for name, value in values.items() if name.startswith("--")}
    return found


def colour(value, known):
    """(r, g, b) from 0 to 1 of a hexadecimal colour or a variable that holds one."""
    while named := re.fullmatch(r"var\((--[\w-]+)\)", value):
        value = known[named[1]]
    digits = value.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]


def contrast(one, other):
    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast([0, 0, 0], [1, 1, 1]) == pytest.approx(21)
    assert contrast(colour("#777", {}), [1, 1, 1]) == pytest.approx(4.48, abs=0.005)
    assert contrast(colour("#ced6dd", {}), colour("#ced6dd", {})) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_text_can_be_read(theme):
    known, seen = variables(theme), 0
    page = [colour(known[name], known) for name in ("--pst-color-background", "--dw-soft")]
    for selector, values in OURS:
        of_other = f'data-theme="{"light" if theme == "dark" else "dark"}"' in selector
        text = values.get("color", "inherit")
        if of_other or text == "inherit":
            continue
        under = values.get("background", "none")
        grounds = page if under in ("none", "transparent") else [colour(under, known)]
        for ground in grounds:
            assert contrast(colour(text, known), ground) >= LEAST, (selector, text, under)
            seen += 1
    for name in ("--pst-color-text-base", "--pst-color-text-muted", "--pst-color-link", "--dw-ink"):
        assert min(contrast(colour(known[name], known), ground) for ground in page) >= LEAST, name
    assert seen >= 2 * len(Verdict)


def test_every_verdict_has_its_own_colours():
    """Both text and ground, so that it reads the same on any page."""
    styled = dict(OURS)
    for name in [*(verdict.value.replace(" ", "-") for verdict in Verdict), "other"]:
        assert {"color", "background"} <= styled[f".verdict-{name}"].keys(), name
    grounds = {styled[f".verdict-{v.value.replace(' ', '-')}"]["background"] for v in Verdict}
    assert len(grounds) == len(Verdict) == 5


def test_verdict_tables_stand_on_the_page_itself_in_the_dark_theme():
    """Else the theme lays a light card under them, on which our light text is blank."""
    (values,) = [v for s, v in OURS if "dark" in s and ":has(table.dataworth-verdicts)" in s]
    assert values == {"background": "transparent", "color": "inherit"}
