"""What changed between two keys, in words: of an executed chapter, or of a stored run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.errors import UserError

if TYPE_CHECKING:
    from dataworth.runs.spec import Spec

SHORT = 60  # characters of a value that are shown

# Parts of a key whose entries are digests, and what an entry is.
_DIGESTS = {
    "cells": "code cell",
    "modules": "code of",
    "files": "data file",
    "cards": "data set",
    "weights": "weights of",
    "claims": "claim",
    "recorded": "recorded run",
}
# Parts whose entries are values: in words, and shown with both values.
_VALUES = {
    "parameters": "parameter",
    "spec": "parameter",
    "libraries": "library",
    "machine": "",
}


def differences(stored: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """One phrase for each difference between two keys (`Spec.content`, `chapter_key`); empty when
    they are equal."""
    found: list[str] = []
    for part in dict.fromkeys([*stored, *current]):
        old, new = stored.get(part), current.get(part)
        if old == new:
            continue
        if old is None or new is None or type(old) is not type(new):
            found.append(f"{part} (stored in an older form)")
        elif part in _DIGESTS:
            found += _changed_digests(_DIGESTS[part], _by_name(old), _by_name(new))
        elif part in _VALUES:
            found += [f"{_VALUES[part]} {line}".strip() for line in _changed_values(old, new)]
        else:
            found.append(f"{part} {old} -> {new}")
    return found


def summary(phrases: list[str], most: int = 3) -> str:
    """The first of several differences, and how many more there are."""
    more = f" and {len(phrases) - most} more" if len(phrases) > most else ""
    return ", ".join(phrases[:most]) + more


def _by_name(entries: Any) -> dict[str, Any]:
    if isinstance(entries, Mapping):
        return dict(entries)
    return {str(number): entry for number, entry in enumerate(entries, 1)}


def _changed_digests(what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            yield f"{what} {name} (no longer used)"
        elif name not in old:
            yield f"{what} {name} (new)"
        elif old[name] != new[name]:
            yield f"{what} {name}"


def _changed_values(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """`name old -> new` for every leaf that differs, by dotted path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{path}.{name}" if path else str(name)
            if name not in new:
                yield f"{inner} {_shown(old[name])} -> (gone)"
            elif name not in old:
                yield f"{inner} (new) -> {_shown(new[name])}"
            elif old[name] != new[name]:
                yield from _changed_values(old[name], new[name], inner)
    elif (
        isinstance(old, list)
        and isinstance(new, list)
        and len(old) == len(new)
        and any(isinstance(item, Mapping) for item in old)
    ):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                yield from _changed_values(before, after, f"{path}[{number}]")
    else:
        yield f"{path} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    text = str(value)
    if isinstance(value, list) and len(text) > SHORT:
        return f"({len(value)} values)"
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def spec_of(content: Mapping[str, Any]) -> Spec:
    """The spec of a stored run (`Spec.content`), as the code of today reads it.

    Raises UserError where the class is no longer there or no longer takes these fields.
    """
    from pydantic import ValidationError

    module, _, name = str(content["class"]).partition(":")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise UserError(f"the class {content['class']} of this run is no longer there.") from None
    try:
        spec: Spec = cls.model_validate(content["spec"])
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors()[:3])
        raise UserError(
            f"{content['class']} no longer takes the fields of this run ({fields})."
        ) from None
    return spec


def of_run(key: str, root: Path) -> list[str]:
    """Lines on the stored run whose key begins with `key` in the store at `root`: what changed
    since, so that today's code would not ask for it. Raises UserError for none or several."""
    found = sorted(path for path in root.glob(f"*/{key}*") if (path / "spec.json").is_file())
    if len(found) != 1:
        several = ", ".join(f"{path.parent.name}/{path.name}" for path in found[:3])
        count = f"{len(found)} runs: {several}" if found else "no run"
        raise UserError(f"The store {root} has {count} whose key begins with '{key}'.")
    name = f"{found[0].parent.name} {found[0].name}"
    try:
        content = json.loads((found[0] / "spec.json").read_text(encoding="utf-8"))
        current = spec_of(content).content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            return [f"{name}: cannot be asked for any more:", f"  {error}"]
        raise UserError(f"{found[0] / 'spec.json'} does not hold what a run depends on.") from error
    changed = differences(content, current)
    if not changed:
        return [f"{name}: nothing changed; the store answers with it"]
    return [f"{name}: changed since it was stored:", *(f"  {phrase}" for phrase in changed)]
