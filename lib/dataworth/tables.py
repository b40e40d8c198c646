"""A table that its reader can sort, without network or library: a button in every heading."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import HTML

# Numbers before words, `<1` as a number just below 1, empty cells last in either direction.
_SCRIPT = """
(function () {
  const table = document.getElementById("NAME");
  const body = table.tBodies[0];
  const value = (row, column) => row.cells[column].textContent;
  const number = (text) =>
    text.startsWith("<") ? parseFloat(text.slice(1)) - 1e-9 : Number(text.replace(/[,%]/g, ""));
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (!isNaN(x) && !isNaN(y)) return x - y;
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
    return a.localeCompare(b);
  };
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = Array.from(body.rows);
      const full = rows.filter((row) => value(row, column).trim() !== "");
      const empty = rows.filter((row) => value(row, column).trim() === "");
      full.sort((a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
      body.append(...full, ...empty);
    });
  });
})();
"""
_STYLE = """
#NAME { border-collapse: collapse; font-size: 0.8rem; margin: 0 auto; }
#NAME caption { caption-side: top; text-align: left; padding: 0.25rem 0; color: inherit; }
#NAME th, #NAME td { padding: 0.3rem 0.45rem; text-align: left; }
#NAME tbody th { font-weight: 600; }
#NAME td.number { text-align: right; }
#NAME thead button { all: unset; cursor: pointer; font-weight: 650; white-space: nowrap; }
#NAME thead button:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
#NAME thead button::after { content: " \\2195"; opacity: 0.45; }
#NAME th[aria-sort="ascending"] button::after { content: " \\2191"; opacity: 1; }
#NAME th[aria-sort="descending"] button::after { content: " \\2193"; opacity: 1; }
"""


def sortable(
    rows: pd.DataFrame,
    *,
    name: str,
    caption: str,
    headings: Mapping[str, str] | None = None,
) -> HTML:
    """The rows as an HTML table; a click or Enter on a heading sorts by it, again: the other way.

    name: the table's id on its page. The first column heads the rows. headings: what a column is
    called on the page. All text is escaped. Without scripts the table stays as it is. ValueError
    for a name that is not of letters, digits and hyphens.
    """
    from IPython.display import HTML

    if not name.replace("-", "").isalnum():
        raise ValueError(f"name {name!r} must be of letters, digits and hyphens")
    titles = [html.escape((headings or {}).get(column, str(column))) for column in rows.columns]
    head = "".join(f'<th scope="col"><button type="button">{t}</button></th>' for t in titles)
    body = []
    for row in rows.itertuples(index=False):
        first, *rest = (html.escape(str(cell)) for cell in row)
        cells = "".join(f"<td{_kind(cell)}>{cell}</td>" for cell in rest)
        body.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return HTML(
        f"<style>{_STYLE.replace('NAME', name)}</style>\n"
        f'<div style="overflow-x: auto"><table class="dataframe" id="{name}">'
        f"<caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(body) + "\n</tbody></table></div>\n"
        f"<script>{_SCRIPT.replace('NAME', name)}</script>"
    )


def _kind(cell: str) -> str:
    """The class of a cell that holds a number, escaped or not."""
    digits = cell.removeprefix("&lt;").replace(",", "").removesuffix("%")
    return ' class="number"' if digits.replace(".", "", 1).lstrip("-").isdigit() else ""
