"""llms.txt names every chapter of the book with its page."""

from dataworth.book import chapters, llms
from dataworth.book.layout import open_layout


def test_every_chapter_has_a_line():
    found = chapters.find(open_layout("quick").root)
    headers = {c.id: chapters.header(c, chapters.read(c)) for c in found}
    text = llms.text(found, headers)
    assert text.startswith("# What Is Training Data Worth?\n\n> ")
    lines = [line for line in text.splitlines() if line.startswith("- [")]
    assert len(lines) == len(found)
    for chapter, line in zip(found, lines, strict=True):
        assert f"]({chapter.docname}.html): " in line and headers[chapter.id].title in line
        assert not line.endswith(": ")
