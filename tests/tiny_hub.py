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


def synsets() -> list[str]:
    """Classes that are in ImageNet, -A and -R, in ImageNet's order."""
    shared = set(large_card("imagenet-a").synsets) & set(large_card("imagenet-r").synsets)
    return [s for s in large_card("imagenet-1k").synsets if s in shared][:COUNT]


def picture(label: int, seed: int, kind: str = "photo", suffix: str = "JPEG") -> bytes:
    """An image of a class: a bar of its colour at its place. No two have the same pixels."""
    from PIL import Image

    rng = np.random.default_rng([label, seed, len(kind)])
    pixels = rng.integers(0, 90, (SIDE, SIDE + 8 * (seed % 3), 3))
    row, column = divmod(label, 4)
    block = pixels[5 + 18 * row : 21 + 18 * row, 3 + 15 * column : 16 + 15 * column]
    block += np.array([60 + 13 * label, 200 - 12 * label, 90])[None, None] % 166
    made = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
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
    for split, count, start in (("train", train, 0), ("validation", test, 1000)):
        found = labelled(count, start)
        columns = {"image": [raw for _, raw in found], "label": [c for c, _ in found]}
        path = root / f"ILSVRC/imagenet-1k/data/{split}-00000-of-00001.parquet"
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


def pipelines(root: Path, scratch: Path) -> None:
    """The generators that the profiles name, with random weights."""
    from tiny_pipelines import amused, deepfloyd, stable_diffusion

    made = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": stable_diffusion,
        "DeepFloyd/IF-I-XL-v1.0": deepfloyd,
        "amused/amused-256": amused,
        "stabilityai/sd-turbo": stable_diffusion,
    }
    for i, (repo, build) in enumerate(made.items()):
        target = root / repo
        target.parent.mkdir(parents=True, exist_ok=True)
        build(scratch / str(i)).rename(target)


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


def c4(root: Path, documents: int = 400) -> None:
    """Crawled texts with timestamps, as C4 has them."""
    import gzip

    rng = np.random.default_rng(5)
    path = root / "allenai/c4/en.noblocklist/c4-train.00000-of-00001.json.gz"
    path.parent.mkdir(parents=True)
    words = [f"word{i}" for i in range(400)]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for i in range(documents):
            year = 2008 + i % 15
            text = " ".join(rng.choice(words[10 * (year - 2008) :][:200], 120))
            row = {
                "text": text,
                "timestamp": f"{year}-0{1 + i % 9}-11T08:12:34Z",
                "url": f"https://example.org/{i}",
            }
            file.write(json.dumps(row) + "\n")


def make(root: Path, scratch: Path) -> Path:
    """The whole tiny hub."""
    imagenet(root)
    pipelines(root, scratch)
    captioner(root)
    c4(root)
    return root
