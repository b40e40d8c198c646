"""Documents of the text cards that hold passages of another card (`text.clean.overlapping`).

    .venv/bin/python bench/overlaps.py [--check]

Writes lib/dataworth/text/overlaps.csv, columns card and id: what no pool holds. `--check` compares
instead. A minute of one core and 2 GB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dataworth.text.clean as clean
from dataworth.data import load_corpus

TARGET = Path(clean.__file__).with_name("overlaps.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    corpora = {card: load_corpus(card) for card in clean.CARDS}
    found = clean.overlapping({card: corpus.texts for card, corpus in corpora.items()})
    rows = ["card,id"]
    for card, mask in found.items():
        ids, texts = corpora[card].ids[mask], corpora[card].texts
        size = sum(len(texts[row].encode()) for row in mask.nonzero()[0])
        whole = sum(len(text.encode()) for text in texts)
        print(
            f"{card}: {len(ids):,} of {len(mask):,} documents, {100 * size / whole:.2f} % of bytes"
        )
        rows += [f"{card},{i}" for i in sorted(ids.tolist())]
    text = "\n".join(rows) + "\n"
    if check:
        raise SystemExit(text != TARGET.read_text(encoding="ascii"))
    TARGET.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
