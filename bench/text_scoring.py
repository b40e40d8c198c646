"""Documents per second of the scorers, on one core, beside calling the packages they stand on.

    OMP_NUM_THREADS=1 .venv/bin/python bench/text_scoring.py

Documents are those of nlp-corpus (short: about 90 characters) and spam-assassin (about 2,000), and
are read at run time. Every rate is the median of repeated passes; the two sides of a ratio take
turns. Detoxify runs with a random model of the given size under its true file name: rates do not
depend on the weights. They do depend on the number of tokens, so its word pieces are learned from
the corpora here, as many characters each as BERT's own (about four).
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

    ours = LinearToxicity(words=None)  # whole documents, as the package
    peer = [float(predict_prob([text])[0]) for text in texts]
    assert ours.score(texts).tolist() == peer, "scores differ from the package's"
    one, all_ = rates(
        len(texts),
        lambda: [predict_prob([text]) for text in texts],
        lambda: ours.score(texts),
    )
    print(
        f"linear toxicity: {all_:,.0f}/s; package, one document at a time: {one:,.0f}/s; ", end=""
    )
    print(f"ratio {all_ / one:.1f}, identical scores")


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
    n = parser.parse_args().documents

    from dataworth.data import load_corpus
    from dataworth.data.duplicates import near_duplicates, shingles, signatures
    from dataworth.text.heuristics import refusals
    from dataworth.text.scores import scorer

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
