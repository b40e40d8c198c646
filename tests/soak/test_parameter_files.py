"""Mutated parameter files: each is refused in one sentence or means exactly what it says.

Nonsense is: a value whose type is not that of the chapter's default (true as 1, 1.0 as 1, "1" as
1), a number that is not the one that is written (017 as 15, 12:30:45 as 45045), a name given twice,
a number that is not finite or beyond all proportion.
"""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from dataworth.book import chapters, parameters
from dataworth.book.layout import QUICK, Layout, open_layout, profiles
from dataworth.errors import UserError
from dataworth.parameters import MOST_AMOUNT, MOST_COUNT

ROOT = Path(__file__).resolve().parents[2]
NASTY = [
    "true", "True", "yes", "no", "null", "~", "", "017", "-017", "0o17", "0x1F", "12:30:45",
    "1_000", "2024-13-45", "2024-01-01", "1e308", "-1e308", "1e999", "1e-320", ".inf", "-.inf",
    ".nan", "nan", "9" * 5000, "9" * 26, "-1", "0", "1.0", "1.5", "'1'", '"1"', "1 2", "[1]", "[]",
    "[[1]]", "{}", "{a: 1}", "&x 1", "*x", "!!int 3", "!!python/name:os.system", "!x y", "|\n  1",
    ">-\n  1", "é", "٣", "²", "\u202e1", "\x00", "\x07", "\x1b[31m", "a" * 100_000, "[" * 3000,
    "{" * 3000, "'", '"', "%", "@", "`", "- 1", "? 1", "<<", "1e5", "+5", ".5", "5.", "0.0", "-0",
    "0e0", "1e", "e1", "[80, 320, 1280, true]", "[80, 80]", "[1.0, 2]", "[1e309]", "fashion-mnist",
    "../../etc/passwd",
]  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three of: a value replaced, a line doubled, dropped or moved, bytes changed."""
    for _ in range(rng.randint(1, 3)):
        lines = data.split(b"\n")
        at = rng.randrange(len(lines))
        name = lines[at].partition(b":")[0]
        nasty = rng.choice(NASTY).encode(errors="surrogatepass")
        match rng.randrange(9):
            case 0 | 1 | 2:
                lines[at] = name + b": " + nasty
            case 3:
                lines.insert(rng.randrange(len(lines) + 1), lines[at])
            case 4:
                lines.insert(at, name + b": " + nasty)
            case 5:
                del lines[at]
            case 6:
                lines[at] = b" " * rng.randint(1, 4) + lines[at]
            case 7:
                flat = bytearray(b"\n".join(lines))
                for _ in range(rng.randint(1, 4)):
                    if flat:
                        flat[rng.randrange(len(flat))] ^= 1 << rng.randrange(8)
                lines = bytes(flat).split(b"\n")
            case 8:
                flat = bytearray(b"\n".join(lines))
                start = rng.randrange(len(flat) + 1)
                flat[start : start + rng.randrange(8)] = rng.randbytes(rng.randrange(5))
                lines = bytes(flat).split(b"\n")
        data = b"\n".join(lines)
    return data


def check(value: object, default: object, written: object) -> None:
    """The accepted value is of the type of the model's default, and what is written (reference: the
    texts that PyYAML's BaseLoader gives, which knows no types)."""
    if isinstance(default, list | tuple):
        assert isinstance(value, list) and isinstance(written, list), (value, written)
        for one, text in zip(sorted(value, key=str), sorted(written, key=str), strict=True):
            check(one, default[0], text) if default else None
    elif isinstance(default, float):
        assert type(value) in (int, float) and abs(value) <= MOST_AMOUNT
        assert isinstance(written, str) and float(Fraction(written)) == value
    elif isinstance(default, bool):
        assert type(value) is bool and str(written).lower() == str(value).lower()
    elif isinstance(default, int):
        assert type(value) is int and abs(value) <= MOST_COUNT
        assert isinstance(written, str) and int(written, 0) == value
    else:
        assert type(value) is type(default) and value == written


@pytest.fixture(scope="module")
def read():
    """Every chapter with its notebook, header and, for each profile, the bytes of a parameter file
    that holds all that its own files and its cell say."""
    found = []
    for chapter in chapters.find(ROOT):
        notebook = chapters.read(chapter)
        header = chapters.header(chapter, notebook)
        defaults = parameters.cell_defaults(chapter, notebook)
        kinds, texts = {}, []
        for profile in profiles(ROOT):
            layout = open_layout(profile, ROOT)
            file = layout.params / f"{chapter.stem}.yaml"
            text = file.read_text() if file.is_file() else ""
            values = parameters.resolve(chapter, notebook, header, layout).values
            kinds = values if profile == QUICK else kinds
            said = yaml.safe_load(text) or {}
            rest = {name: values[name] for name in values if name not in said}
            texts.append((text + yaml.safe_dump(rest, default_flow_style=None)).encode())
        found.append((chapter, notebook, header, defaults, kinds, texts))
    return found


def test_a_mutated_file_is_refused_in_a_sentence_or_means_what_it_says(read, cases, tmp_path):
    rng = random.Random(0)
    layout = Layout(tmp_path, "full")
    layout.params.mkdir(parents=True)
    accepted = refused = 0
    for _ in range(cases(300, 10_000)):
        chapter, notebook, header, defaults, kinds, files = rng.choice(read)
        data = mutate(rng.choice(files), rng)
        (layout.params / f"{chapter.stem}.yaml").write_bytes(data)
        try:
            made = parameters.resolve(chapter, notebook, header, layout)
        except UserError as error:
            sentence = str(error)
            assert "\n" not in sentence and sentence.isprintable() and len(sentence) < 2000, data
            assert sentence[-1] in ".?" and chapter.stem in sentence.replace("-", "_"), sentence
            refused += 1
            continue
        accepted += 1
        if cases(0, 1):  # torch and diffusers take their time to import
            try:
                parameters.cost(made)
            except UserError as error:
                assert "\n" not in str(error)
        written = yaml.load(data.decode(), yaml.BaseLoader) or {}
        names = [key.value for key, _ in getattr(yaml.compose(data.decode()), "value", [])]
        assert len(names) == len(set(names)), data
        for name in defaults:
            if name in written:
                check(made.values[name], kinds[name], written[name])
            else:
                assert made.values[name] == defaults[name]
    assert accepted and refused


def test_a_mutated_override_is_refused_or_means_what_it_says(read, cases, tmp_path):
    rng = random.Random(1)
    layout = Layout(tmp_path, "full")
    layout.params.mkdir(parents=True)
    for chapter, *_ in read:
        (layout.params / f"{chapter.stem}.yaml").touch()
    for _ in range(cases(100, 2000)):
        chapter, notebook, header, _, kinds, _ = rng.choice(read)
        name = rng.choice(list(kinds))
        text = rng.choice(NASTY)
        try:
            key, value = parameters.parse_override(f"{name}={text}")
            made = parameters.resolve(chapter, notebook, header, layout, {key: value})
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000, text[:50]
            continue
        check(made.values[name], kinds[name], yaml.load(text, yaml.BaseLoader))
