import re
from pathlib import Path

import pytest

from dataworth.book.checks import check_html

GOOD = """<html><head><link rel="stylesheet" href="a.css"><link rel="next" href="b.html">
<link rel="canonical" href="https://example.org/a"></head>
<body><h1 id="top">T</h1><a href="https://example.org">out</a><a href="b.html#there">b</a>
<img src="f.svg" alt="A line that rises"><a href="#top">up</a>
<table><thead><tr><th>arm</th><th><code>mixed_sizes</code></th></tr></thead>
<tbody><tr><th>real</th><td class="number">−0.12</td></tr></tbody></table></body></html>"""


@pytest.fixture
def html(tmp_path):
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<html><body><h1 id="there">B</h1></body></html>')
    (tmp_path / "a.css").write_text("p { background: url(f.svg) }")
    (tmp_path / "f.svg").write_text("<svg/>")
    return tmp_path


def test_a_good_book_has_no_faults(html):
    assert check_html(html) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('href="a.css"', 'href="https://cdn.example/a.css"', "loads https://cdn.example/a.css"),
        (
            "</body>",
            '<script src="//cdn.example/x.js"></script></body>',
            "loads //cdn.example/x.js",
        ),
        ('src="f.svg"', 'src="http://cdn.example/f.svg"', "loads http://cdn.example/f.svg"),
        ("</body>", '<iframe src="https://v.example"></iframe></body>', "loads https://v.example"),
        (
            "</head>",
            "<style>@import 'https://f.example/f.css';</style></head>",
            "loads https://f.ex",
        ),
        ("<h1", "<h1>X</h1><h1", "has 2 first-level headings"),
        ("h1", "h2", "has 0 first-level headings"),
        (' alt="A line that rises"', "", "without alt text"),
        ("A line that rises", " ", "without alt text"),
        ("A line that rises", "_images/f.svg", "without alt text"),
        ("b.html#there", "c.html", "links to c.html, which does not exist"),
        ("b.html#there", "b.html#gone", "links to b.html#gone, which has no such anchor"),
        ("#top", "#bottom", "no such anchor"),
        ("</body>", '<div class="output traceback">E</div></body>', "shows an error"),
        (
            "</head>",
            "<script>const A = 1; let b</script><script>const A = 2</script></head>",
            "its scripts declare A more than once",
        ),
        ("<th>arm", "<th>", "a table whose column has no head"),
        ("<th>arm", "<th> <p></p>", "a table whose column has no head"),
        ("<th>arm", "<th>added_low", "the raw name 'added_low'"),
        ("<th>real", "<th>lm_small", "the raw name 'lm_small'"),
        (">−0.12<", ">NaN<", "with 'NaN', which is not for readers"),
        (">−0.12<", ">-inf<", "with '-inf', which is not for readers"),
        (">−0.12<", "> 0.0000 <", "with '0.0000', which shows no digit"),
        (">−0.12<", ">-0.12<", "with '-0.12', which has a hyphen"),
    ],
)
def test_each_fault_is_found(html, old, new, fault):
    page = html / "a.html"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))
    faults = check_html(html)
    assert any(fault in f and f.startswith("a.html") for f in faults), faults


def test_remote_fonts_in_style_sheets_are_found(html):
    (html / "a.css").write_text("@font-face { src: url('https://fonts.example/f.woff2') }")
    assert check_html(html) == ["a.css loads https://fonts.example/f.woff2 from the network."]


def test_an_empty_folder_is_a_fault(tmp_path):
    assert check_html(tmp_path) == [f"{tmp_path} holds no page."]


def test_no_chapter_of_the_smoke_book_uses_what_is_deprecated():
    """A chapter's warnings stand in its log, not in its notebook."""
    logs = sorted((Path(__file__).parents[2] / "build" / "smoke" / "logs").glob("*.log"))
    if not logs:
        pytest.skip("the smoke book has not been built here")
    for log in logs:
        found = re.findall(r"ipykernel_\d+.*(?:Deprecat|FutureW|Pandas\dW).*", log.read_text())
        assert not found, f"{log.name}: {found[0]}"
