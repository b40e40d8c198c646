"""The book as one file: well-formed pages, formulas in MathML, no link that leads nowhere."""

import zipfile
from xml.etree import ElementTree

import pytest

from dataworth.book import formats
from dataworth.book.layout import open_layout
from dataworth.errors import UserError

PAGE = """<!DOCTYPE html>

<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title>A page</title></head><body>
<div class="dataworth-links"><p>source (.py)</p><p>Of the claims ...</p></div>
<p>Slope <span class="math notranslate nohighlight">\\(\\beta_1 &lt; 0\\)</span>, and
<a href="other.xhtml#there">there</a>, <a href="../gone.xhtml">nowhere</a>,
<a href="https://arxiv.org/abs/2312.04567">a paper</a><a class="headerlink" href="#x">#</a>.</p>
<div class="math notranslate nohighlight" id="eq">\\[L = E + A N^{-\\alpha} \\label{law}\\]</div>
<table data-sortable><tr><td>raw<br>HTML</td></tr></table>
<svg viewBox="0 0 4 4"><path d="M0 0"/></svg>
<details class="dataworth-take"><summary>Take along</summary></details><script>1</script>
</body></html>
"""
OPF = """<package><manifest>
<item href="text/page.xhtml" id="a" media-type="application/xhtml+xml" />
<item href="text/other.xhtml" id="b" media-type="application/xhtml+xml" />
</manifest></package>"""
XHTML, MATHS = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/1998/Math/MathML}"


@pytest.fixture
def tidy(tmp_path):
    """Sphinx's file, and what is made of it."""
    with zipfile.ZipFile(tmp_path / "made.epub", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        made.writestr("text/page.xhtml", PAGE)
        made.writestr("text/other.xhtml", PAGE.split("<p>Slope")[0] + "</body></html>")
        made.writestr("content.opf", OPF)
    formats._tidy(tmp_path / "made.epub", tmp_path / "book.epub")
    return zipfile.ZipFile(tmp_path / "book.epub")


def test_pages_of_an_epub_are_xml_with_mathml_and_live_links(tidy):
    page = ElementTree.fromstring(tidy.read("text/page.xhtml"))
    assert [a.get("href") for a in page.iter(f"{XHTML}a")] == [
        "other.xhtml#there",
        "https://arxiv.org/abs/2312.04567",
    ]
    assert [m.get("display") for m in page.iter(f"{MATHS}math")] == ["inline", "block"]
    said = "".join(page.itertext())
    assert "β" in said and "\\" not in said and "law" not in said
    assert "nowhere" in said and "Of the claims" in said and "Take along" not in said
    assert "(.py)" not in said and not list(page.iter(f"{XHTML}script"))
    assert any(e.get("viewBox") for e in page.iter())


def test_an_epub_begins_with_its_type_and_says_where_formulas_are(tidy):
    first = tidy.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    items = ElementTree.fromstring(tidy.read("content.opf")).iter("item")
    assert {i.get("href"): i.get("properties") for i in items} == {
        "text/page.xhtml": "mathml svg",
        "text/other.xhtml": None,
    }


def test_a_book_that_was_not_built_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_BUILD", str(tmp_path))
    layout = open_layout("smoke")
    for make in (formats.epub, formats.book_pdf):
        with pytest.raises(UserError, match="was not built yet"):
            make(layout)
    with pytest.raises(UserError, match="build the book first"):
        formats.chapter_pdf(layout, "text/quality")
