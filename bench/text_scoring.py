"""Documents per second of the scorers, on one core, beside calling the packages they stand on.

    OMP_NUM_THREADS=1 .venv/bin/python bench/text_scoring.py

Documents are those of nlp-corpus (short: about 90 characters) and spam-assassin (about 2,000), and
are read at run time. Every rate is the median of repeated passes; the two sides of a ratio take
turns. Detoxify runs with a random model of the given size under its true file name: rates do not
depend on the weights. They do depend on the number of tokens, so its word pieces are learned from
the corpora here, as many characters each as BERT's own (about four).

`--calm` asks instead how many calm texts the linear toxicity scorer flags, by card and by length,
whether it finds 1,000 insults planted in them, and how many texts of the cards are taken for
foreign ones. Not every alarm is false: the cards are not free of rude words.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

PASSES = 5


def rates(n: int, *sides: Callable[[], object]) -> list[float]:
    """Documents per second of each side: median over passes in which the sides take turns."""
    seconds = np.empty((PASSES, len(sides)))
    for side in sides:
        side()  # imports, caches
    for turn in range(PASSES):
        for column, side in enumerate(sides):
            started = time.perf_counter()
            side()
            seconds[turn, column] = time.perf_counter() - started
    return [float(rate) for rate in n / np.median(seconds, axis=0)]


def plant_detoxify(home: Path, width: int, layers: int, texts: Sequence[str]) -> None:
    """A random BERT of this size as the weights of Detoxify("original"); word pieces of `texts`."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification

    base = home / "base"
    base.mkdir()
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(texts, vocab_size=16_000, show_progress=False)
    pieces.save_model(str(base))
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 1),
        intermediate_size=4 * width,
        num_labels=6,
    )
    config.save_pretrained(base)
    torch.manual_seed(0)
    classes = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    arch = {
        "model_type": str(base),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 6,
    }
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(
        {
            "config": {"arch": {"args": arch}, "dataset": {"args": {"classes": classes}}},
            "state_dict": BertForSequenceClassification(config).state_dict(),
        },
        folder / "toxic_original-c1212f89.ckpt",
    )


def linear(texts: Sequence[str]) -> None:
    from profanity_check import predict_prob

    from dataworth.text.toxicity import LinearToxicity

    ours, whole = LinearToxicity(), LinearToxicity(passage=None)  # the latter as the package
    peer = np.array([float(predict_prob([text])[0]) for text in texts])
    found = whole.probabilities(texts)
    assert (np.isnan(found) | (found == peer)).all(), "scores differ from the package's"
    one, passages, documents = rates(
        len(texts),
        lambda: [predict_prob([text]) for text in texts],
        lambda: ours.score(texts),
        lambda: whole.score(texts),
    )
    print(f"linear toxicity: package, one document at a time: {one:,.0f}/s; ", end="")
    print(f"worst passage: {passages:,.0f}/s, ratio {passages / one:.1f}; ", end="")
    print(f"whole documents: {documents:,.0f}/s, ratio {documents / one:.1f}, identical scores")


CALM = ("sotu", "brown", "wordnet", "python-code")
LENGTHS = {10: 500, 100: 500, 1_000: 200, 10_000: 40}  # words: texts of each card
THRESHOLDS = (0.5, 0.9, 0.99)
INSULTS = (
    "you are an idiot", "what a moron", "you lazy bum", "you brainless twit", "screw you",
    "you make me sick", "you are a disgrace", "go to hell, all of you", "shut up, you fool",
    "you pathetic loser", "you are as dumb as a rock", "hypocrite", "you people disgust me",
)  # fmt: skip


def stretches(card: str, words: int, count: int, rng: np.random.Generator) -> list[str]:
    """Random stretches of so many words from a card's documents, joined in random order."""
    from dataworth.data import load_corpus

    texts = load_corpus(card).texts
    joined = " ".join(texts[i] for i in rng.permutation(len(texts)).tolist()).split()
    firsts = rng.integers(len(joined) - words + 1, size=count).tolist()
    return [" ".join(joined[first : first + words]) for first in firsts]


def calm() -> None:
    """False alarms by card and length, beside those of whole documents; insults found."""
    from profanity_check import predict_prob

    from dataworth.data import load_corpus
    from dataworth.text.language import is_foreign
    from dataworth.text.toxicity import ALONE, LinearToxicity

    ours, whole = LinearToxicity(), LinearToxicity(passage=None)
    rng = np.random.default_rng(0)
    alone = predict_prob(list(INSULTS))
    assert alone.min() >= ALONE
    print("-- calm texts flagged, in percent: by the worst passage (by the whole document)")
    print("words  card         " + "".join(f"{f'at {t:g}':>16}" for t in THRESHOLDS))
    planted, of = [], []
    for words, count in LENGTHS.items():
        for card in CALM:
            texts = stretches(card, words, count, rng)
            found, control = ours.score(texts), whole.score(texts)
            cells = [
                f"{100 * (found >= t).mean():.1f} ({100 * (control >= t).mean():.1f})"
                for t in THRESHOLDS
            ]
            print(f"{words:<6} {card:<12} " + "".join(f"{cell:>16}" for cell in cells))
    for n in np.exp(rng.uniform(np.log(10), np.log(10_000), 50)).round().astype(int).tolist():
        for text in stretches(CALM[n % 4], n, 20, rng):
            split, which = text.split(), int(rng.integers(len(INSULTS)))
            place = int(rng.integers(len(split) + 1))
            planted.append(" ".join([*split[:place], INSULTS[which], *split[place:]]))
            of.append(alone[which])
    hits = ours.score(planted) >= np.array(of) - 1e-12
    control = whole.score(planted) >= np.array(of)
    print(f"insults in {len(planted):,} calm texts of 10 to 10,000 words, found at every threshold")
    print(f"where they are found alone: {hits.sum():,} (by the whole document: {control.sum():,})")
    for card in ("nlp-corpus", *CALM, "spam-assassin"):
        foreign = sum(map(is_foreign, corpus := load_corpus(card).texts))
        print(f"taken for foreign: {foreign:,} of {len(corpus):,} {card}")


def detoxify(texts: Sequence[str], width: int, layers: int, corpus: Sequence[str]) -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        os.environ["TORCH_HOME"] = home
        plant_detoxify(Path(home), width, layers, corpus)
        from detoxify import Detoxify

        from dataworth.text.toxicity import DetoxifyToxicity, _detoxify

        _detoxify.cache_clear()
        peer, ours = Detoxify("original"), DetoxifyToxicity(words=None)
        alone = [peer.predict(text)["toxicity"] for text in texts]
        gap = float(np.abs(ours.score(texts) - alone).max())
        one, all_ = rates(
            len(texts),
            lambda: [peer.predict(text) for text in texts],
            lambda: ours.score(texts),
        )
    print(f"Detoxify, {layers} layers x {width}: {all_:,.0f}/s; its predict, one by one: ", end="")
    print(f"{one:,.0f}/s; ratio {all_ / one:.1f}, largest difference {gap:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--calm", action="store_true", help="false alarms, and insults found")
    asked = parser.parse_args()
    if asked.calm:
        calm()
        return
    n = asked.documents

    from dataworth.data import load_corpus
    from dataworth.data.duplicates import near_duplicates, shingles, signatures
    from dataworth.text.heuristics import refusals
    from dataworth.text.scorers import scorer

    short = load_corpus("nlp-corpus", "test").texts[:n]
    mails = load_corpus("spam-assassin", "test").texts[:n]
    for name, texts in (("short", short), ("mails", mails)):
        print(
            f"-- {len(texts)} {name}, {np.mean([len(t) for t in texts]):,.0f} characters on average"
        )
        for which in ("quality", "toxicity", "bad-words"):
            made = scorer(which)
            (rate,) = rates(len(texts), lambda made=made, texts=texts: made.score(texts))
            print(f"{which}: {rate:,.0f} documents/s")
        (rate,) = rates(len(texts), lambda texts=texts: refusals(texts))
        print(f"heuristics: {rate:,.0f} documents/s")
        (rate,) = rates(len(texts), lambda texts=texts: near_duplicates(texts))
        print(f"near-duplicates: {rate:,.0f} documents/s")
        linear(texts)
        try:
            from datasketch import MinHash
        except ImportError:
            continue
        sets = shingles(texts)

        def datasketch(sets: list = sets) -> list:
            made = []
            for each in sets:
                made.append(MinHash(num_perm=128))
                made[-1].update_batch([value.tobytes() for value in each])
            return made

        peer, ours = rates(len(texts), datasketch, lambda sets=sets: signatures(sets, 128))
        print(f"MinHash, 128: {ours:,.0f}/s; datasketch: {peer:,.0f}/s; ratio {ours / peer:.1f}")
    print("-- Detoxify on the short ones")
    corpus = [*load_corpus("nlp-corpus", "train").texts, *load_corpus("brown", "train").texts]
    detoxify(short[: min(n, 400)], 32, 2, corpus)
    detoxify(short[: min(n, 200)], 256, 4, corpus)
    detoxify(short[: min(n, 60)], 768, 12, corpus)  # as Detoxify's own


if __name__ == "__main__":
    main()
