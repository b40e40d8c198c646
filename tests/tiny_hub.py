"""A folder of hub repositories of the names and layouts that the profiles `lab` and `paper` name,
each a few kilobytes large: what `--hub FOLDER` takes."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dataworth.data.large import large_card, lemmas

SIDE = 64
COUNT = 12
CARDS = ("imagenet-1k", "imagenet-100", "cifar10", "c4", "fineweb", "pile", "common-pile")


def synsets() -> list[str]:
    """Classes that are in ImageNet, -A and -R, in ImageNet's order."""
    shared = set(large_card("imagenet-a").synsets) & set(large_card("imagenet-r").synsets)
    return [s for s in large_card("imagenet-1k").synsets if s in shared][:COUNT]


def picture(
    label: int, seed: int, kind: str = "photo", suffix: str = "JPEG", side: int = SIDE
) -> bytes:
    """An image of a class: a bar of its colour at its place. No two have the same pixels."""
    from PIL import Image

    rng = np.random.default_rng([label, seed, len(kind)])
    pixels = rng.integers(0, 90, (SIDE, SIDE + 8 * (seed % 3), 3))
    row, column = divmod(label, 4)
    block = pixels[5 + 18 * row : 21 + 18 * row, 3 + 15 * column : 16 + 15 * column]
    block += np.array([60 + 13 * label, 200 - 12 * label, 90])[None, None] % 166
    made = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if side != SIDE:
        made = made.resize((side, side))
    if kind == "sketch":
        made = made.convert("L").point(lambda x: 255 - x).convert("RGB")
    with io.BytesIO() as file:
        made.save(file, suffix, quality=90)
        return file.getvalue()


def labelled(count: int, start: int, kind: str = "photo") -> list[tuple[int, bytes]]:
    """`count` images of every class, classes in turn: label and file."""
    return [(c, picture(c, start + i, kind)) for i in range(count) for c in range(COUNT)]


def write_parquet(path: Path, columns: dict[str, Any], features: dict[str, Any]) -> None:
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    columns["image"] = [{"bytes": raw, "path": None} for raw in columns["image"]]
    features = {"image": datasets.Image(), **features}
    made = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    made.to_parquet(path)


def imagenet(root: Path, train: int = 30, test: int = 5, shifted: int = 4) -> None:
    """ImageNet's training and validation images, -V2, -A, -Sketch and -R, by classes."""
    import datasets

    names = synsets()
    words = lemmas(tuple(names))
    label = datasets.ClassLabel(names=[words[s] for s in names])
    for repo, start in (("ILSVRC/imagenet-1k", 0), ("clane9/imagenet-100", 7000)):
        for split, count, first in (("train", train, start), ("validation", test, start + 1000)):
            found = labelled(count, first)
            columns = {"image": [raw for _, raw in found], "label": [c for c, _ in found]}
            path = root / f"{repo}/data/{split}-00000-of-00001.parquet"
            write_parquet(path, columns, {"label": label})

    place = {s: i for i, s in enumerate(large_card("imagenet-v2").synsets)}
    v2 = root / "vaishaal/ImageNetV2/imagenetv2-matched-frequency.tar.gz"
    v2.parent.mkdir(parents=True)
    with tarfile.open(v2, "w:gz") as tar:
        for i, (c, raw) in enumerate(labelled(shifted, 2000)):
            member = tarfile.TarInfo(f"matched/{place[names[c]]}/{i}.jpeg")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))

    sketch = root / "songweig/imagenet_sketch/data/ImageNet-Sketch.zip"
    sketch.parent.mkdir(parents=True)
    with zipfile.ZipFile(sketch, "w") as archive:
        for i, (c, raw) in enumerate(labelled(shifted, 3000, "sketch")):
            archive.writestr(f"sketch/{names[c]}/sketch_{i}.JPEG", raw)

    place = {s: i for i, s in enumerate(large_card("imagenet-a").synsets)}
    found = labelled(shifted, 4000)
    columns = {"image": [raw for _, raw in found], "label": [place[names[c]] for c, _ in found]}
    path = root / "barkermrl/imagenet-a/data/test-00000-of-00001.parquet"
    write_parquet(path, columns, {"label": datasets.Value("int64")})

    found = labelled(shifted, 5000)
    columns = {"image": [raw for _, raw in found], "wnid": [names[c] for c, _ in found]}
    path = root / "axiong/imagenet-r/data/test-00000-of-00001.parquet"
    write_parquet(path, columns, {"wnid": datasets.Value("string")})


def cifar10(root: Path, train: int = 30, test: int = 5) -> None:
    """CIFAR-10's images, 32 pixels a side."""
    import datasets

    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    label = datasets.ClassLabel(names=names)
    for split, count, start in (("train", train, 9000), ("test", test, 9500)):
        found = [(c, picture(c, start + i, side=32)) for i in range(count) for c in range(10)]
        columns = {"image": [raw for _, raw in found], "label": [c for c, _ in found]}
        path = root / f"uoft-cs/cifar10/plain_text/{split}-00000-of-00001.parquet"
        write_parquet(path, columns, {"label": label})


def pipelines(root: Path, scratch: Path) -> None:
    """The generators that the profiles name, with random weights."""
    from tiny_pipelines import amused, deepfloyd, stable_diffusion

    made = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": stable_diffusion,
        "DeepFloyd/IF-I-XL-v1.0": deepfloyd,
        "amused/amused-256": amused,
        "stabilityai/sd-turbo": stable_diffusion,
        "common-canvas/CommonCanvas-S-C": stable_diffusion,
    }
    for i, (repo, build) in enumerate(made.items()):
        target = root / repo
        target.parent.mkdir(parents=True, exist_ok=True)
        build(scratch / str(i)).rename(target)
        (target / "README.md").write_text("---\nlicense: tiny-rail\ntags: [a]\n---\n# A model\n")


def captioner(root: Path) -> None:
    """A BLIP-2 with random weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<pad>", "</s>", "<unk>", "<image>", "a", "photo", "of", "dog", "red", "bar"]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config=small | {"intermediate_size": 16, "image_size": 32, "patch_size": 16},
        qformer_config=small
        | {"intermediate_size": 16, "encoder_hidden_size": 16, "vocab_size": len(words)},
        text_config={
            "model_type": "opt", "vocab_size": len(words), "hidden_size": 16, "ffn_dim": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "word_embed_proj_dim": 16,
            "max_position_embeddings": 128, "pad_token_id": 0, "eos_token_id": 1,
            "bos_token_id": 1,
        },
        num_query_tokens=4,
        image_token_index=3,
    )  # fmt: skip
    target = root / "Salesforce/blip2-opt-2.7b"
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    Blip2Processor(images, tokenizer, num_query_tokens=4).save_pretrained(target)
    Blip2ForConditionalGeneration(config).save_pretrained(target)


FIELDS = {
    "law": "court judge claim party order appeal clause rule statute counsel",
    "sea": "boat wind harbour sail captain storm island rope crew voyage",
    "farm": "field corn barn horse plough seed harvest fence milk orchard",
    "town": "street market shop station bridge crowd tower church square house",
}
VERBS = ("saw", "found", "kept", "moved", "brought", "left", "held", "made", "took", "gave", "sold")
RARE = ("old", "small", "quiet", "bright", "heavy", "broken", "early", "narrow", "cold", "warm")
FRAMES = (
    "The {a} {x} {v} the {y} before noon.",
    "Nobody {v} that {y}, for it was {b}.",
    "When the {x} came, they {v} a {a} {z}.",
    "In {n} one {x} {v} every {y} here.",
    "She {v} the {b} {z} and {w} it again.",
    "What he {v} of the {x} was {a}, but not {b}.",
    "A {y} near the {z} {v} more than {n} people.",
    "They {w} that {a} {z} until the {x} {v} it.",
    "With {n} others we {v} some {b} {y}.",
    "Is it true that the {z} {w} its {a} {x}?",
)


def prose(rng: np.random.Generator, field: str, sentences: int = 9) -> str:
    """English sentences on a field, so that scorers and rules of English have something to read."""
    nouns = FIELDS[field].split()
    made = []
    for frame in rng.permutation(np.resize(np.array(FRAMES), sentences)):
        x, y, z = rng.choice(nouns, 3, replace=False)
        (a, b), (v, w) = rng.choice(RARE, 2, replace=False), rng.choice(VERBS, 2, replace=False)
        made.append(frame.format(x=x, y=y, z=z, a=a, b=b, v=v, w=w, n=rng.integers(100, 9999)))
    return " ".join(made)


def documents(count: int, seed: int) -> list[dict[str, Any]]:
    """Dated texts of the fields in turn; no two are alike, one in ten is rude."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        field, year = list(FIELDS)[i % len(FIELDS)], 2013 + i % 12
        text = prose(rng, field, 14 + int(rng.integers(12))) + (
            " You are a stupid idiot and I hate you, shut up." if i % 10 == 3 else ""
        )
        made.append({"text": text, "field": field, "date": f"{year}-0{1 + i % 9}-11T08:12:34Z"})
    return made


def texts(root: Path, count: int = 900) -> None:
    """C4, FineWeb, the Pile and the Common Pile: columns and files as theirs."""
    import gzip

    import datasets
    import pyarrow

    def lines(rows: list[dict[str, Any]]) -> bytes:
        return "\n".join(map(json.dumps, rows)).encode()

    def path(name: str) -> Path:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        return root / name

    of_c4 = [
        {"text": d["text"], "timestamp": d["date"], "url": f"https://example.org/{i}"}
        for i, d in enumerate(documents(count, 1))
    ]
    crawl = path("allenai/c4/en.noblocklist/c4-train.00000-of-01024.json.gz")
    crawl.write_bytes(gzip.compress(lines(of_c4), 1))
    fine = [{"text": d["text"], "id": str(i), "date": d["date"]}
            for i, d in enumerate(documents(count, 2))]  # fmt: skip
    datasets.Dataset.from_list(fine).to_parquet(
        path("HuggingFaceFW/fineweb/sample/10BT/000_00000.parquet")
    )
    of_pile = [{"text": d["text"], "meta": {"pile_set_name": d["field"]}}
               for d in documents(count, 3)]  # fmt: skip
    with pyarrow.output_stream(
        str(path("monology/pile-uncopyrighted/train/00.jsonl.zst")), compression="zstd"
    ) as file:
        file.write(lines(of_pile))
    made = documents(count, 4)
    for field in FIELDS:
        of = [{"text": d["text"], "source": field} for d in made if d["field"] == field]
        name = f"common-pile/comma_v0.1_training_dataset/{field}/{field}-0000.json.gz"
        path(name).write_bytes(gzip.compress(lines(of), 1))


def make(root: Path, scratch: Path) -> Path:
    """The whole tiny hub."""
    imagenet(root)
    cifar10(root)
    pipelines(root, scratch)
    captioner(root)
    texts(root)
    return root
