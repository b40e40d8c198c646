"""A run is a value: a frozen spec whose content hash names its result."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dataworth import compute, weights
from dataworth.closure import plain, run_closure, texts_in
from dataworth.errors import UserError
from dataworth.runs.store import Outcome, Store, key_of


class Spec(BaseModel):
    """Everything that decides a result, and nothing else.

    Subclasses add fields and name their `kind`. Nothing else has to be declared: the code that a
    run can reach follows from the imports of the module of its class (`dataworth.closure`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    @abstractmethod
    def run(self, store: Store) -> Outcome:
        """Compute the result; `store` gives the results of other specs this one builds on."""

    @property
    def content(self) -> dict[str, Any]:
        """All that decides the result, as plain JSON; its hash is `key`.

        `kind`, `class`, `spec` (the fields); `modules` and `files` (digests of the code that is
        reached, and of the data files it names), `libraries` (versions of those that compute),
        `cards` (keys of the content, labels included, of every data set that a field or the code
        names), `weights` (content of the models that a field names) and `machine` (kind of device,
        instructions and precision).
        """
        from dataworth.data.catalog import keys_of

        cls = type(self)
        fields = self.model_dump(mode="json")
        # Nested values may be of subclasses from modules that the class itself does not import.
        found = run_closure({cls.__module__, *_modules(self)})
        if cls.__module__ not in found.modules:
            raise UserError(
                f"{cls.__qualname__} is defined in {cls.__module__}, which has no source file: put "
                "the class into a module, so that the key of its runs can hold its code."
            )
        texts = frozenset(texts_in(fields))
        return {
            "kind": self.kind,
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "spec": fields,
            "modules": found.modules,
            "files": found.files,
            "libraries": found.libraries,
            "cards": keys_of(found.strings, found.foreign | texts),
            "weights": weights.digests(texts),
            "machine": compute.machine(),
        }

    @property
    def key(self) -> str:
        """Content hash, 32 hex characters."""
        return key_of(self.content)

    @property
    def identity(self) -> str:
        """Hash of kind and fields alone, 32 hex characters: for random streams of analyses, which
        neither an edit nor a library's version nor the machine may move (each moves `key`)."""
        fields = self.model_dump_json()
        return hashlib.sha256(f"{self.kind} {fields}".encode()).hexdigest()[:32]


def spec_of(content: Mapping[str, Any]) -> Spec:
    """The spec of a stored run (`Spec.content`), as the code of today reads it.

    Raises UserError where the class is no longer there or no longer takes these fields.
    """
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


def _modules(value: Any) -> Iterator[str]:
    """Modules of the classes of a value and of all values in it."""
    if isinstance(value, BaseModel):
        between = type(value).__mro__[: type(value).__mro__.index(BaseModel)]
        yield from (cls.__module__ for cls in between if cls is not Spec)  # that carries results
        for name in type(value).model_fields:
            yield from _modules(getattr(value, name))
    elif isinstance(value, tuple | list) and not plain(value, int | float | str):
        for item in value:
            yield from _modules(item)
