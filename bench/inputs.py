"""What a run waits for before it trains: prompts, and a data set loaded for the second time.

    .venv/bin/python bench/inputs.py

Each set of prompts against a peer in the same process: an open_clip template chosen by a seeded
generator and filled in. The second load (checked by sha256, mapped) against numpy reading the same
arrays into memory. Ratios above one are slower than the peer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

from dataworth.data import load_images
from dataworth.images.captions import CLASS_WORDS
from dataworth.images.prompts import PROMPT_SETS, prompt

NAMES = [words[0] for words in CLASS_WORDS]


def least(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of several: the machine's, not its other work's."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def prompts(count: int = 2000) -> None:
    def peer() -> None:
        for i in range(count):
            random.Random(i).choice(OPENAI_IMAGENET_TEMPLATES)(NAMES[i % 10])

    theirs = least(peer)
    print(f"{'open_clip template':24}{1e6 * theirs / count:8.1f} us a prompt")
    for prompt_set in PROMPT_SETS:
        prompt(prompt_set, NAMES[0], 0)  # word lists are read once

        def ours(prompt_set: str = prompt_set) -> None:
            for i in range(count):
                prompt(prompt_set, NAMES[i % 10], i)

        seconds = least(ours)
        print(f"{prompt_set:24}{1e6 * seconds / count:8.1f} us, {seconds / theirs:.2f} of the peer")


def second_load() -> None:
    part = load_images("fashion-mnist", "generator_pool")
    files = [array.filename for array in (part.images, part.labels, part.ids)]
    ours = least(lambda: load_images("fashion-mnist", "generator_pool"))
    theirs = least(lambda: [np.load(file) for file in files])
    count = len(part.labels)
    print(f"second load of {count} images: {1e3 * ours:.0f} ms, {ours / theirs:.2f} of numpy")


if __name__ == "__main__":
    prompts()
    second_load()
