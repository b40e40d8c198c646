// A button in every head of a table that `dataworth.tables.show(..., sort=...)` made: a click or Enter
// sorts by it, again: the other way. Numbers before words, "<1" just below 1, empty cells last.
document.addEventListener("DOMContentLoaded", () => {
  const number = (text) => {
    const value = Number(text.replace(/^[<>]/, "").replace(/[,%\s]/g, "").replace(/−/g, "-"));
    return text.startsWith("<") ? value - 1e-9 : value;
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (!isNaN(x) && !isNaN(y)) return x - y;
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
    return a.localeCompare(b);
  };
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    const body = table.tBodies[0];
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const value = (row) => row.cells[column].textContent.trim();
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = Array.from(body.rows);
        const empty = rows.filter((row) => ["", "–"].includes(value(row)));
        const full = rows.filter((row) => !empty.includes(row));
        full.sort((a, b) => compare(value(a), value(b)) * (down ? -1 : 1));
        body.append(...full, ...empty);
      });
    });
  });
});
