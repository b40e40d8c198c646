"""A run is a value: a frozen spec whose content hash names its result."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from dataworth.runs.store import Store


@dataclass(frozen=True)
class Outcome:
    """What a run hands to the store: named arrays, and metrics that fit in JSON."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


class Spec(BaseModel):
    """Everything that decides a result, and nothing else.

    Subclasses add fields, name their `kind` and the modules whose code decides the result
    (`sources`, those of the runs they build on included): a change of that code, comments and
    docstrings aside, is a change of the key, so the store never answers with what older code
    computed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    def sources(self) -> tuple[str, ...]:
        """Names of the modules whose code decides the result."""
        return ()

    @abstractmethod
    def run(self, store: Store) -> Outcome:
        """Compute the result; `store` gives the results of other specs this one builds on."""

    @property
    def key(self) -> str:
        """Content hash, 32 hex characters."""
        content = {
            "kind": self.kind,
            "spec": self.model_dump(mode="json"),
            "code": code_digest(self.sources()),
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """Hash of the modules' code as syntax trees, without docstrings, comments and layout."""
    digest = hashlib.sha256()
    for name in modules:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"no source for module {name}")
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and ast.get_docstring(node, clean=False) is not None
            ):
                node.body = node.body[1:]
        digest.update(name.encode() + ast.dump(tree).encode())
    return digest.hexdigest()
