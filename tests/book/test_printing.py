"""Pages on paper, by the machine's own browser."""

import re
import shutil

import pytest

from dataworth.book import printing
from dataworth.book.layout import open_layout
from dataworth.errors import UserError
from dataworth.teach import plans, slides
from dataworth.teach.slides import Slide

HERE = any(map(shutil.which, printing.BROWSERS))


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="no browser of the Chromium family")
def test_a_deck_prints_one_slide_a_page(tmp_path):
    shutil.copytree(plans.folder(open_layout("quick").root) / "reveal", tmp_path / "reveal")
    deck = [Slide("", "<h1>Why?</h1>"), Slide("One", "<p>a</p>", "<p>b</p>"), Slide("Two", "c")]
    (tmp_path / "deck.html").write_text(slides.page("Why?", deck))
    made = printing.pdf(tmp_path / "deck.html", tmp_path / "out" / "deck.pdf", deck=True)
    assert len(re.findall(rb"/Type\s*/Page\b", made.read_bytes())) == 3


def test_without_a_browser_it_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(printing.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="chromium"):
        printing.pdf(tmp_path / "deck.html", tmp_path / "deck.pdf")
