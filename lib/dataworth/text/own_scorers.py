"""Scorers by value: what a user brings along, named in full where a shipped one has a name.

    regex:FILE                 a list of patterns, one a line: how often they occur
    python:MODULE:CLASS        a class of one's own with `score(texts)`; MODULE may be a file
    hf:FOLDER[LABEL]           a Hugging Face text classifier: the probability of a label

A run that scores has the content of what is named in its key (`digest`): a changed list, class or
model gives new scores.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dataworth import closure, compute, weights
from dataworth.errors import UserError, short
from dataworth.text.scores import End, Scores, chunks, pooled, scored
from dataworth.text.toxicity import batches

FORMS = "regex:FILE, python:MODULE:CLASS or hf:FOLDER[LABEL]"
TOKENS = 16_384  # of a batch, with padding
_HF = re.compile(r"(?P<folder>.+)\[(?P<label>[^\[\]]+)\]")


@dataclass(frozen=True)
class OwnScorer:
    """A scorer of the user's own. good: the end that a filter keeps, None where it does not say."""

    name: str
    score: Callable[[Sequence[str]], Scores]
    good: End | None


def is_own(name: str) -> bool:
    """Whether a scorer is named by value."""
    return name.partition(":")[0] in _MAKERS and ":" in name


def absolute(name: str) -> str:
    """The same scorer, with the path of its file or folder in full. Raises UserError where there is
    none."""
    kind, _, what = name.partition(":")
    path, rest = _place(kind, what, name)
    return f"{kind}:{path.absolute()}{rest}" if path else name


def own_scorer(name: str) -> OwnScorer:
    """The scorer of this name. Raises UserError where it cannot be made."""
    kind, _, what = name.partition(":")
    path, rest = _place(kind, what, name)
    return _MAKERS[kind](name, path, rest)


def digest(name: str) -> str:
    """Of the content that decides its scores: the list, the code that the class reaches (its
    helpers beside it included), the folder's files."""
    kind, _, what = name.partition(":")
    path, rest = _place(kind, what, name)
    if path and path.is_dir():
        return str(weights.digest(str(path)))
    if path:
        return _hash(b"".join(file.read_bytes() for file in _beside(path)))
    reached = closure.run_closure({rest.partition(":")[0]})
    return _hash(repr(sorted((reached.modules | reached.libraries).items())).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _place(kind: str, what: str, name: str) -> tuple[Path | None, str]:
    """The file or folder of a scorer, None of an installed module, and what its name says beside
    it."""
    if kind == "regex" and Path(what).expanduser().is_file():
        return Path(what).expanduser(), ""
    if kind == "hf" and (found := _HF.fullmatch(what)):
        if Path(found["folder"]).expanduser().is_dir():
            return Path(found["folder"]).expanduser(), f"[{found['label']}]"
        raise UserError(f"scorer: '{short(name)}' names no folder that exists.")
    module, _, class_ = what.rpartition(":")
    if kind == "python" and module and class_.isidentifier():
        for path in (Path(module).expanduser(), Path(f"{module.replace('.', '/')}.py")):
            if path.is_file():
                return path, f":{class_}"
        if _found(module):
            return None, f"{module}:{class_}"
        raise UserError(f"scorer: '{short(name)}' names no file and no module that is installed.")
    raise UserError(f"scorer: '{short(name)}' must be {FORMS}, with a file or folder that exists.")


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


# ---- A list of patterns -------------------------------------------------------------------------


def _of_patterns(name: str, path: Path | None, rest: str) -> OwnScorer:
    """Matches of the patterns in a hundred words, upper and lower case alike; fewer are better."""
    assert path is not None
    patterns = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if (said := line.strip()) and not said.startswith("#"):
            try:
                patterns.append(re.compile(said, re.IGNORECASE))
            except re.error as error:
                raise UserError(
                    f"scorer: line {number} of {path} is no regular expression ({error})."
                ) from None
    if not patterns:
        raise UserError(f"scorer: {path} holds no pattern; each line is a regular expression.")

    def score(texts: Sequence[str]) -> Scores:
        hits = [sum(len(p.findall(text)) for p in patterns) for text in texts]
        words = np.array([max(len(text.split()), 1) for text in texts])
        return np.asarray(100.0 * np.array(hits) / words)

    return OwnScorer(name, lambda texts: scored(texts, score, None), "low")


# ---- A class ------------------------------------------------------------------------------------


def _of_class(name: str, path: Path | None, rest: str) -> OwnScorer:
    """`score(texts)` gives one number a text, NaN where it has none; `good` ("high" or "low") says
    which end a filter keeps."""
    module, _, class_ = rest.rpartition(":")
    try:
        loaded = _load(path, path.stat().st_mtime_ns) if path else importlib.import_module(module)
        made = getattr(loaded, class_)()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"scorer: {name} cannot be made ({type(error).__name__}: {short(str(error))}); it must "
            "be a class without arguments."
        ) from error
    if not callable(getattr(made, "score", None)):
        raise UserError(f"scorer: {name} has no method score(texts).")
    if (good := getattr(made, "good", None)) not in (None, "low", "high"):
        raise UserError(f"scorer: {name} has good = {good!r}; it must be 'low' or 'high'.")

    def score(texts: Sequence[str]) -> Scores:
        found = np.asarray(made.score(texts), dtype=np.float64)
        if found.shape != (len(texts),) or np.isinf(found).any():
            raise UserError(
                f"scorer: {name} gave {found.shape} numbers, or infinite ones, for {len(texts)} "
                "texts; it must give one for each, NaN where it has none."
            )
        return found

    return OwnScorer(name, score, good)


@lru_cache(maxsize=16)
def _load(path: Path, changed_at: int) -> ModuleType:
    """The module of a file; it may import others beside it."""
    spec = importlib.util.spec_from_file_location(f"own_scorer_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.absolute().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _beside(path: Path) -> list[Path]:
    """A file and the files beside it that it imports, those of these too, sorted."""
    found, todo = {path}, [path] if path.suffix == ".py" else []
    while todo:
        try:
            tree = ast.parse(todo.pop().read_bytes())
        except SyntaxError:
            continue  # loading it will say so
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            near = {path.parent / f"{name.partition('.')[0]}.py" for name in names if name}
            fresh = {file for file in near if file.is_file()} - found
            found |= fresh
            todo += fresh
    return sorted(found)


# ---- A classifier -------------------------------------------------------------------------------


def _of_classifier(name: str, path: Path | None, rest: str) -> OwnScorer:
    """Probability of the label, mean over pieces of at most 200 words. Weights and tokenizer
    are read, no code of the folder runs."""
    assert path is not None
    label, known = rest[1:-1], _classifier(path, compute.device().type)[2]
    if label not in known:
        raise UserError(f"scorer: {name} has no label '{label}'; it has {', '.join(known)}.")

    def score(texts: Sequence[str]) -> Scores:
        return scored(texts, lambda some: pooled(some, probabilities, chunks, "mean"), None)

    def probabilities(texts: list[str]) -> Scores:
        import torch

        tokenizer, model, labels = _classifier(path, compute.device().type)
        tokens = tokenizer(texts, truncation=True, max_length=model.config.max_position_embeddings)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        found = np.empty(len(texts))
        several = model.config.problem_type == "multi_label_classification" or len(labels) == 1
        with torch.inference_mode():
            for rows in batches(lengths, TOKENS):
                picked = {key: [values[row] for row in rows] for key, values in tokens.items()}
                padded = tokenizer.pad(picked, return_tensors="pt").to(model.device)
                logits = model(**padded).logits.double()
                chances = torch.sigmoid(logits) if several else torch.softmax(logits, -1)
                found[rows] = chances[:, labels.index(label)].cpu().numpy()
        return found

    return OwnScorer(name, score, None)


@lru_cache(maxsize=2)
def _classifier(folder: Path, device: str) -> tuple[Any, Any, list[str]]:
    """Tokenizer, model and labels of a folder."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"scorer: {folder} holds no text classifier of Hugging Face ({short(str(error))})."
        ) from error
    labels = [model.config.id2label[number] for number in range(model.config.num_labels)]
    return tokenizer, model.to(device).eval(), labels


_MAKERS: dict[str, Callable[[str, Path | None, str], OwnScorer]] = {
    "regex": _of_patterns,
    "python": _of_class,
    "hf": _of_classifier,
}
