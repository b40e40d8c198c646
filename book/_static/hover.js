// Previews of glossary terms and references, for pointer and keyboard. Their texts (`dataworth.book.hover`)
// are loaded when the first is asked for; Escape closes one, and it stays while the pointer is on it.
(() => {
  const root = document.documentElement.dataset.content_root || "./";
  const ASKED = /(?:^|\/)((?:glossary|references)\.html#[^#]+)$/;
  let texts = null, now = null, tip = null, later = 0;
  const hide = () => {
    tip?.remove();
    now?.removeAttribute("aria-describedby");
    now = tip = null;
  };
  const show = () => {
    const text = now && texts?.[decodeURIComponent(ASKED.exec(now.href)[1])];
    if (!text || tip) return;
    tip = document.createElement("div");
    Object.assign(tip, { className: "dataworth-preview", id: "dataworth-preview", role: "tooltip", textContent: text });
    document.body.append(tip);
    now.setAttribute("aria-describedby", tip.id);
    const at = now.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - own.width - 8));
    const above = at.top - own.height - 4;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above < 60 ? at.bottom + 4 : above) + scrollY}px`;
    tip.addEventListener("pointerenter", () => clearTimeout(later));
    tip.addEventListener("pointerleave", hide);
  };
  const ask = (event) => {
    const link = event.target.closest?.("article a[href]");
    if (!link || link === now || !ASKED.test(link.href)) return;
    clearTimeout(later);
    hide();
    now = link;
    if (texts) return show();
    const script = document.createElement("script");
    script.src = `${root}_static/previews.js`;
    document.head.append(script);
  };
  window.dataworthPreviews = (found) => {
    texts = found;
    show();
  };
  document.addEventListener("pointerover", ask);
  document.addEventListener("focusin", ask);
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerout", (event) => {
    if (now && event.target.closest?.("a") === now) later = setTimeout(hide, 250);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();
