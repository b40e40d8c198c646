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

// The ledger: what is not asked for is hidden; in another order than the book's all rows stand in one table.
document.addEventListener("DOMContentLoaded", () => {
  const tables = Array.from(document.querySelectorAll("table.dataworth-ledger"));
  if (!tables.length) return;
  const KINDS = ["supported", "contradicted", "no effect", "inconclusive", "not measurable here"];
  const kind = (cell) => KINDS.find((name) => cell?.querySelector(`.verdict-${name.replaceAll(" ", "-")}`));
  const rows = tables.flatMap((table) => Array.from(table.tBodies[0].rows)).map((row, place) => ({
    row, place, home: row.parentElement, text: row.textContent.toLowerCase(),
    verdict: kind(row.cells[2]), recorded: kind(row.cells[3]),
    q: Number(/q [=<] ([0-9.e-]+)/.exec(row.cells[2].textContent)?.[1] ?? 2),
  }));
  const ORDERS = {
    "of the book": (one) => one.place,
    "surest finding first": (one) => one.q,
    "by verdict": (one) => KINDS.indexOf(one.verdict),
    "other verdict in the recorded run first": (one) => !one.recorded || one.recorded === one.verdict,
  };
  const bar = document.createElement("form");
  bar.className = "dataworth-filter";
  bar.addEventListener("submit", (event) => event.preventDefault());
  const field = (words, element) => {
    const label = document.createElement("label");
    label.append(`${words} `, element);
    bar.append(label);
    element.addEventListener("input", () => apply());
    return element;
  };
  const choice = (words, names) => {
    const select = document.createElement("select");
    for (const name of names) select.add(new Option(name));
    return field(words, select);
  };
  const search = document.createElement("input");
  search.type = "search";
  const asked = field("words", search);
  const verdict = choice("verdict", ["any", ...KINDS]);
  const order = choice("order", Object.keys(ORDERS));
  const count = document.createElement("output");
  bar.append(count);
  const main = tables[0].closest("article") || document.body;
  const first = main.querySelector("section section") || tables[0];
  first.before(bar);
  const holders = Array.from(main.querySelectorAll("section section"));
  const apply = () => {
    const words = asked.value.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = order.value !== "of the book";
    const by = ORDERS[order.value];
    let shown = 0;
    for (const one of Array.from(rows).sort((a, b) => by(a) - by(b) || a.place - b.place)) {
      const wanted = (verdict.value === "any" || one.verdict === verdict.value) && words.every((word) => one.text.includes(word));
      one.row.hidden = !wanted;
      shown += wanted;
      (sorted ? tables[0].tBodies[0] : one.home).append(one.row);
    }
    main.classList.toggle("dataworth-sorted", sorted);
    for (const table of tables) table.closest("div, section").hidden = !table.querySelector("tbody tr:not([hidden])");
    for (const holder of holders) holder.hidden = !holder.querySelector("tbody tr:not([hidden])");
    count.textContent = `${shown} of ${rows.length} claims`;
  };
  apply();
});

// A table whose first columns a reader sets (`orient.decision`): a slider for each, and the row that they choose.
// Two prices tell what both ways to the same loss would cost.
document.addEventListener("DOMContentLoaded", () => {
  const add = (parent, tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    parent.append(made);
    return made;
  };
  const number = (text) => (text === "∞" ? Infinity : Number(text.replace(/[,\s]/g, "").replace("−", "-")));
  const short = (value) => (Number.isFinite(value) ? Number(value.toPrecision(3)).toLocaleString("en") : "any amount");
  document.querySelectorAll("table.dataworth-dials").forEach((table) => {
    const heads = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent.trim());
    const rows = Array.from(table.tBodies[0].rows, (row) => Array.from(row.cells, (cell) => cell.textContent.trim()));
    const dials = Number(/dials-(\d+)/.exec(table.className)[1]);
    const holder = table.closest(".pst-scrollable-table-container") || table;
    const box = document.createElement("div");
    box.className = "dataworth-dial";
    holder.before(box);
    const folded = document.createElement("details");
    add(folded, "summary", {}, `All ${rows.length} rows as a table`);
    holder.replaceWith(folded);
    folded.append(holder);
    const sliders = Array.from({ length: dials }, (_, column) => {
      const values = Array.from(new Set(rows.map((row) => row[column])));
      const label = add(box, "label", {}, `${heads[column]}: `);
      const told = add(label, "strong"); // an output would take the label from the slider
      const slider = add(label, "input", { type: "range", min: 0, max: values.length - 1, step: 1, value: 0 });
      return { values, slider, told };
    });
    const worth = heads.findIndex((head) => head.startsWith("worth as many"));
    const list = add(box, "dl", { "aria-live": "polite" });
    const prices = worth < 0 ? [] : ["a real image", "a synthetic image"].map((what, index) => {
      const label = add(box, "label", { class: "price" }, `price of ${what} `);
      return add(label, "input", { type: "number", min: 0, step: "any", value: index ? 0.01 : 0.1 });
    });
    const bill = worth < 0 ? null : add(box, "p", { "aria-live": "polite" });
    const show = () => {
      const wanted = sliders.map(({ values, slider, told }) => {
        told.textContent = values[slider.value];
        slider.setAttribute("aria-valuetext", told.textContent);
        return told.textContent;
      });
      const row = rows.find((cells) => wanted.every((value, column) => cells[column] === value));
      list.replaceChildren();
      heads.slice(dials).forEach((head, index) => {
        add(list, "dt", {}, head);
        add(list, "dd", {}, row[dials + index]);
      });
      if (!bill) return;
      const [value, low, high] = row[worth].replace(/[[\]]/g, " ").trim().split(/,?\s+/).map(number);
      const [real, synthetic] = prices.map((input) => Number(input.value));
      bill.textContent = `The synthetic images cost ${short(number(wanted[1]) * synthetic)}; real ones that do the same ` +
        `${short(value * real)} [${short(low * real)}, ${short(high * real)}].`;
    };
    for (const input of [...sliders.map((one) => one.slider), ...prices]) input.addEventListener("input", show);
    show();
  });
});
