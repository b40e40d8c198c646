"""The API pages: every documented room has one, and its docstrings are readable as reST."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from dataworth.book import site
from dataworth.book.api import readable
from dataworth.book.checks import check_html
from dataworth.book.layout import Layout

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in (REPOSITORY / "book" / "api").glob("*.md"))


def test_every_page_is_in_the_contents_and_names_one_module():
    toc = (REPOSITORY / "_toc.yml").read_text()
    assert sorted(re.findall(r"file: api/(\w+)", toc)) == PAGES
    for name in PAGES:
        text = (REPOSITORY / "book" / "api" / f"{name}.md").read_text()
        (module,) = re.findall(r"automodule:: dataworth\.(\w+)", text)
        assert module == name and text.count("# dataworth.") == 1


def test_no_docstring_is_taken_for_markup():
    text = ["Of *x_ and |y|: a `b_`s.", "", "Args:", "    x: a", "     b", "", "`a", "b` ends"]
    assert readable(text) == [
        "Of \\*x\\_ and \\|y\\|\\: a \\ ``b_``\\ s\\.", "",
        "::", "", "    Args:", "        x: a", "         b", "",
        "\\ ``a b``\\  ends", "",
    ]  # fmt: skip


def test_docstrings_become_pages_without_a_warning(tmp_path):
    """With the book's own settings; warnings are errors there."""
    layout = Layout(tmp_path, "smoke")
    shutil.copytree(REPOSITORY / "book", layout.site, ignore=shutil.ignore_patterns("*.py"))
    shutil.copy(REPOSITORY / "_config.yml", layout.site)
    toc = {
        "format": "jb-book",
        "root": f"api/{PAGES[0]}",
        "chapters": [{"file": f"api/{name}"} for name in PAGES[1:]] + [{"file": "references"}],
    }
    (layout.site / "_toc.yml").write_text(yaml.safe_dump(toc))
    site.build_html(layout)
    assert check_html(layout.html) == []
    for module, name in [("fit", "fit"), ("stats", "interval"), ("runs", "run_tasks")]:
        page = (layout.html / "api" / f"{module}.html").read_text()
        assert f'id="dataworth.{module}.{name}"' in page
