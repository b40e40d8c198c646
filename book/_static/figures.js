// Figures to explore. `figures/<name>.js` holds a figure's own SVG and its numbers in words, both from
// `dataworth.figures.show`; this script loads it when the figure comes near and puts it in place of the
// picture: marks tell their numbers (pointer, finger, arrow keys), entries of the legend hide what
// they stand for, logarithmic axes can be made linear, a slider reads all arms off at one value of the x axis,
// and the colours follow the theme. Without scripts, and on paper, the picture stays.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const waiting = new Map();
  const make = (tag, attributes = {}, parent = null, text = "") => {
    const made = tag.startsWith("svg:") ? document.createElementNS(NS, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  // ---- Colours of the dark theme: lightness is turned round in OKLab (Ottosson 2020), of greys
  // wholly, of colours so that they stay bright and in order; those of a heat map, which mean amounts,
  // all alike.
  const dark = (hex, turn = false) => {
    if (hex === "#ffffff") return "var(--dw-figure-ground)";
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    const light = 0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s;
    const a = 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s;
    const d = 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s;
    const part = Math.min(1, Math.max(0, (Math.hypot(a, d) - 0.02) / 0.08));
    const turned = turn ? Math.min(0.9, 1.25 - 0.95 * light) : (1 - part) * (1 - 0.8 * light) + part * (0.5 + 0.45 * light);
    return `oklab(${turned.toFixed(3)} ${a.toFixed(3)} ${d.toFixed(3)})`;
  };
  const HEX = /#[0-9a-f]{6}\b/g;
  const themed = (svg) => svg
    .replace(/<g id="[^"]*QuadMesh.*?<\/g>/g, (mesh) => mesh.replace(HEX, (hex) => `light-dark(${hex.toUpperCase()}, ${dark(hex, true)})`))
    .replace(HEX, (hex) => `light-dark(${hex}, ${dark(hex)})`);

  // ---- A logarithmic axis made linear: every place within the panel is moved along it.
  const along = ([from, to], [low, high]) => {
    const part = (place) => (place - from) / (to - from);
    return (place) => {
      const value = low * (high / low) ** part(place);
      return from + ((to - from) * (value - low)) / (high - low);
    };
  };
  const moved = (path, x, y, dx = 0, dy = 0) => path.replace(
    /(-?[\d.]+(?:e-?\d+)?) (-?[\d.]+(?:e-?\d+)?)/g,
    (_, a, b) => `${x(Number(a) + dx) - dx} ${y(Number(b) + dy) - dy}`,
  );
  const same = (value) => value;
  const round = (low, high) => {
    const rough = Math.abs(high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5, 10].find((x) => x * power >= rough) || 10);
    const first = Math.ceil(Math.min(low, high) / step), last = Math.floor(Math.max(low, high) / step);
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  };
  const number = (value) => String(Number(value.toPrecision(6))).replace("-", "−")
    .replace(/^(−?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

  class Figure {
    constructor(figure, data) {
      Object.assign(this, data);
      this.figure = figure;
      this.off = new Set();
      this.linear = new Set();
      this.box = make("div", { class: "dataworth-figure" });
      this.box.innerHTML = themed(this.svg);
      this.root = this.box.querySelector("svg");
      this.root.removeAttribute("width");
      this.root.removeAttribute("height");
      for (const [name, value] of Object.entries({
        role: "group", tabindex: "0", "aria-label": this.alt,
        "aria-roledescription": "figure; the arrow keys tell its numbers one by one",
      })) this.root.setAttribute(name, value);
      this.ring = make("svg:circle", { class: "ring", r: 5.5, visibility: "hidden" }, this.root);
      this.tip = make("div", { class: "tip", hidden: "" }, this.box);
      this.said = make("p", { class: "dataworth-said", "aria-live": "polite" }, this.box);
      this.addLegend();
      this.addAxes();
      this.addReading();
      this.root.addEventListener("pointermove", (event) => this.point(event));
      this.root.addEventListener("pointerdown", (event) => this.point(event));
      this.root.addEventListener("pointerleave", () => this.tell(null));
      this.root.addEventListener("blur", () => this.tell(null));
      this.root.addEventListener("keydown", (event) => this.key(event));
      const image = figure.querySelector("img");
      (image.closest("a") || image).replaceWith(this.box);
    }

    shown() { return this.marks.filter((mark) => !this.off.has(mark[4])); }

    place([, x, y, panel]) {
      const { box: [left, top, right, bottom], limits } = this.panels[panel];
      return [
        this.has(panel, "x") ? along([left, right], limits.slice(0, 2))(x) : x,
        this.has(panel, "y") ? along([bottom, top], limits.slice(2))(y) : y,
      ];
    }

    has(panel, side) { return this.linear.has(side) && this.panels[panel].log.includes(side); }

    point(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.root.getScreenCTM().inverse());
      const panel = this.panels.findIndex(({ box: [a, b, c, d] }) => at.x >= a - 4 && at.x <= c + 4 && at.y >= b - 4 && at.y <= d + 4);
      let near = null, least = panel >= 0 && this.panels[panel].bar ? 60 : 18;
      for (const mark of this.shown()) {
        if (mark[3] !== panel) continue;
        const [x, y] = this.place(mark), far = Math.hypot(x - at.x, y - at.y);
        if (far < least) [near, least] = [mark, far];
      }
      this.tell(near);
    }

    key(event) {
      if (event.target !== this.root) return;
      const known = this.shown(), now = known.indexOf(this.now);
      const next = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: known.length - 1 }[event.key];
      if (event.key === "Escape") this.tell(null);
      if (next === undefined || !known.length) return;
      event.preventDefault();
      this.tell(known[(next + known.length) % known.length], true);
    }

    tell(mark, aloud = false) {
      this.now = mark;
      this.tip.hidden = !mark;
      this.ring.setAttribute("visibility", mark ? "visible" : "hidden");
      if (!mark) return;
      const [x, y] = this.place(mark);
      this.ring.setAttribute("cx", x);
      this.ring.setAttribute("cy", y);
      const panel = this.panels[mark[3]];
      const head = [this.panels.length > 1 && panel.title, mark[4] !== panel.bar && mark[4]].filter(Boolean).join(" · ");
      this.tip.replaceChildren();
      if (head) make("strong", {}, this.tip, head);
      for (const line of mark[5]) make("span", {}, this.tip, line);
      if (aloud) this.said.textContent = [head, ...mark[5]].join(", ");
      const scale = this.root.clientWidth / this.root.viewBox.baseVal.width;
      const wide = this.tip.offsetWidth, left = x * scale - wide / 2;
      this.tip.style.left = `${Math.max(0, Math.min(left, this.root.clientWidth - wide))}px`;
      const above = y * scale - this.tip.offsetHeight - 12;
      this.tip.style.top = `${above < 0 ? y * scale + 14 : above}px`;
    }

    // Every entry of the legend is a button over its own words.
    addLegend() {
      if (this.legend.filter(Boolean).length < 2) return;
      this.legend.forEach((entry, index) => {
        if (!entry) return;
        const [x, y, width, height] = entry.box;
        const button = make("svg:rect", {
          class: "entry", x, y, width, height, rx: 2, role: "button", tabindex: 0,
          "aria-pressed": true, "aria-label": entry.name,
        }, this.root);
        make("svg:title", {}, button, "Hide or show");
        const parts = this.root.querySelectorAll(`[id^="${this.prefix}dw-${index}-"]`);
        const turn = () => {
          const hidden = !this.off.delete(entry.name) && Boolean(this.off.add(entry.name));
          button.setAttribute("aria-pressed", !hidden);
          for (const part of parts) part.style.display = hidden ? "none" : "";
          this.tell(null);
          this.read?.();
        };
        button.addEventListener("click", turn);
        button.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          turn();
        });
      });
    }

    addAxes() {
      const sides = ["x", "y"].filter((side) => this.panels.some((panel) => panel.log.includes(side)));
      if (!sides.length) return;
      const tools = make("div", { class: "tools" }, this.box);
      for (const side of sides) {
        const button = make("button", { type: "button", "aria-pressed": false }, tools, `Linear ${side} axis`);
        button.addEventListener("click", () => {
          const on = !this.linear.delete(side) && Boolean(this.linear.add(side));
          button.setAttribute("aria-pressed", on);
          this.tell(null);
          this.panels.forEach((panel, index) => panel.log.includes(side) && this.rescale(index));
          this.read?.();
        });
      }
    }

    // Where several arms were measured at the same values of an axis (sizes, scales of guidance, thresholds,
    // ages), a slider goes through these values and tells what every arm that is shown has there.
    addReading() {
      const values = new Map();
      let label = null;
      for (const mark of this.marks) {
        const { x, bar } = this.panels[mark[3]];
        const line = mark[5].find((words) => x && words.startsWith(`${x}: `));
        if (!line || bar || (label !== null && label !== x)) continue;
        label = x;
        const value = line.slice(x.length + 2);
        if (!values.has(value)) values.set(value, []);
        values.get(value).push(mark);
      }
      const marks = Array.from(values.values()).flat();
      if (values.size < 3 || values.size > 0.6 * marks.length) return;
      const far = ([, x, , panel]) => {
        const { box: [left, , right] } = this.panels[panel];
        return (x - left) / (right - left);
      };
      const order = Array.from(values).sort((a, b) => far(a[1][0]) - far(b[1][0]));
      const box = make("div", { class: "reading" }, this.box);
      const head = make("label", {}, box, `Read off at ${label}: `);
      const told = make("strong", {}, head); // an output would take the label from the slider
      const slider = make("input", { type: "range", min: -1, max: order.length - 1, step: 1, value: -1 }, head);
      const list = make("ul", {}, box);
      const lines = make("svg:g", { class: "dw-read" }, this.root);
      this.read = () => {
        const [value, all] = order[slider.value] || ["nothing yet", []];
        told.textContent = value;
        slider.setAttribute("aria-valuetext", value);
        list.replaceChildren();
        lines.replaceChildren();
        const shown = all.filter((mark) => !this.off.has(mark[4]));
        for (const mark of shown) {
          const panel = this.panels[mark[3]];
          const name = [this.panels.length > 1 && panel.title, mark[4]].filter(Boolean).join(" · ");
          const rest = mark[5].filter((words) => words !== `${label}: ${value}`);
          const item = make("li", {}, list);
          make("strong", {}, item, name);
          item.append(` ${rest.join(", ")}`);
        }
        for (const mark of new Map(shown.map((one) => [one[3], one])).values()) {
          const [x] = this.place(mark), [, top, , bottom] = this.panels[mark[3]].box;
          make("svg:line", { x1: x, x2: x, y1: top, y2: bottom }, lines);
        }
      };
      slider.addEventListener("input", this.read);
      this.read();
    }

    rescale(index) {
      const { box: [left, top, right, bottom], limits } = this.panels[index];
      const axes = this.root.querySelector(`[id="${this.prefix}axes_${index + 1}"]`);
      const x = this.has(index, "x") ? along([left, right], limits.slice(0, 2)) : same;
      const y = this.has(index, "y") ? along([bottom, top], limits.slice(2)) : same;
      const kept = (element, name) => {
        element.dwOwn ||= {};
        return element.dwOwn[name] ??= element.getAttribute(name);
      };
      const parts = Array.from(axes.children).filter((part) => !/matplotlib\.axis_\d$/.test(part.id));
      for (const part of parts) {
        for (const path of part.querySelectorAll("path[clip-path]")) path.setAttribute("d", moved(kept(path, "d"), x, y));
        for (const use of part.querySelectorAll("use[x]")) {
          const [dx, dy] = [Number(kept(use, "x")), Number(kept(use, "y"))];
          const shape = this.root.querySelector(`[id="${use.getAttribute("xlink:href").slice(1)}"]`);
          if (dx === 0 && shape && part.contains(shape)) {
            shape.setAttribute("d", moved(kept(shape, "d"), x, y, dx, dy)); // a band: its own shape is in place
          } else {
            use.setAttribute("x", x(dx));
            use.setAttribute("y", y(dy));
          }
        }
      }
      axes.querySelectorAll(".dw-ticks").forEach((group) => group.remove());
      ["x", "y"].forEach((side, number_) => {
        const axis = axes.querySelector(`[id$="matplotlib.axis_${2 * index + number_ + 1}"]`);
        if (!axis || !this.panels[index].log.includes(side)) return;
        const ticks = axis.querySelectorAll(`[id^="${this.prefix}${side}tick_"]`);
        const labelled = Array.from(ticks).some((tick) => tick.querySelector("[id*='text_']"));
        const linear = this.has(index, side);
        for (const tick of ticks) tick.style.display = linear ? "none" : "";
        if (linear) this.ticks(axes, index, side, labelled);
      });
    }

    ticks(axes, index, side, labelled) {
      const { box: [left, top, right, bottom], limits } = this.panels[index];
      const group = make("svg:g", { class: "dw-ticks" });
      axes.insertBefore(group, axes.children[1]);
      const [low, high] = side === "x" ? limits.slice(0, 2) : limits.slice(2);
      for (const value of round(low, high)) {
        const part = (value - low) / (high - low);
        const at = side === "x" ? left + part * (right - left) : bottom + part * (top - bottom);
        make("svg:line", side === "x" ? { x1: at, x2: at, y1: top, y2: bottom } : { x1: left, x2: right, y1: at, y2: at }, group);
        if (!labelled) continue;
        const spot = side === "x" ? { x: at, y: bottom + 13, "text-anchor": "middle" } : { x: left - 6, y: at + 3, "text-anchor": "end" };
        make("svg:text", spot, group, number(value));
      }
    }
  }

  window.dataworthFigure = (data) => {
    const figure = waiting.get(data.name);
    if (figure && waiting.delete(data.name)) new Figure(figure, data);
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.CSS?.supports("color", "light-dark(#000000, oklab(1 0 0))")) return;
    const root = document.documentElement.dataset.content_root || "";
    const near = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        make("script", { src: `${root}figures/${target.dataset.figure}.js` }, document.head);
      }
    }, { rootMargin: "900px" });
    document.querySelectorAll(".dataworth-take[data-figure]").forEach((take) => {
      const figure = document.getElementById(take.dataset.figure);
      if (!figure?.querySelector("img")) return;
      waiting.set(take.dataset.figure, figure);
      near.observe(take);
    });
  });
})();
