"""What a chapter asked of its runs and data, kept so that its analysis is executed without them.

The functions through which an analysis gets at runs and data are marked (`keep`). With
DATAWORTH_KEEP set to a file, a chapter that is executed keeps there what these gave: results with
their metrics and those of their arrays that the analysis read, and small numbers in the place of
large ones (the loss and the answer of a test image, not its ten logits). With DATAWORTH_READ set
to such a file, they give that again: nothing is trained, no data set is opened, torch is not
needed, and all that follows is computed as ever.

A file is a zip of arrays and one JSON text, checked as a whole by its SHA-256; nothing in it is
code. Values are plain ones, arrays, tables, and objects of this package by class and fields. It
names runs by what they are of (`Spec.identity`), and says under which keys they were stored.
"""

from __future__ import annotations

import atexit
import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache, wraps
from hashlib import sha256
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from dataworth.errors import UserError
from dataworth.runs.spec import Spec, spec_of
from dataworth.runs.store import Result, Run, Store, read

KEEP, READ = "DATAWORTH_KEEP", "DATAWORTH_READ"
OLDER = "DATAWORTH_KEEP_OLDER"
"""Set: runs of the same fields that earlier code stored are kept where today's code has none."""
CONTENT = "content.json"
LIST = "=list"
LONG = 50
"""Entries from which on a list is kept once, and numbers by number as two arrays."""
OURS = ("dataworth.",)
"""Beginnings of the modules whose classes a file may name."""
LEFT_OUT: dict[str, dict[str, Any]] = {"dataworth.text.pools:Pool": {"texts": ()}}
"""Fields that are not kept, by class, and what stands for them: texts are their authors'."""

P = ParamSpec("P")
T = TypeVar("T")


def keep(function: Callable[P, T]) -> Callable[P, T]:
    """What the function gives belongs to what is kept of a chapter; its arguments are plain values,
    parameters, studies, specs and results."""
    name = f"{function.__module__.removeprefix('dataworth.')}.{function.__qualname__}"

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if (target := os.environ.get(KEEP)) is not None:
            return _keeper(target).answer(name, function, args, kwargs)
        if (source := os.environ.get(READ)) is not None:
            return cast(T, _reader(source).answer(name, args, kwargs))
        return function(*args, **kwargs)

    return call


def reading() -> bool:
    """Whether this process reads what was kept (`DATAWORTH_READ`)."""
    return READ in os.environ


# ---- Which call it was ------------------------------------------------------------------------


def _call(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    said = json.dumps([_said(a) for a in args] + [[k, _said(v)] for k, v in sorted(kwargs.items())])
    return f"{name} {sha256(said.encode()).hexdigest()[:20]}"


def _said(value: Any) -> Any:
    """What tells one argument from another, as plain JSON."""
    if isinstance(value, Result):
        return value.spec.identity
    if isinstance(value, Spec):
        return value.identity
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if value is None or isinstance(value, Store | Path):
        return None  # a store is where it is, and None means the usual one
    if is_dataclass(value):
        if hasattr(value, "params"):
            return _said(value.params)
        return [_said(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return [[_said(k), _said(v)] for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


# ---- Keeping ----------------------------------------------------------------------------------


class Older(Store):
    """A store that also has what earlier code stored, for specs of the same fields."""

    def get(self, spec: Run) -> Result | None:
        if (found := super().get(spec)) is not None:
            return found
        path = self._places(spec.kind).get(spec.identity)
        return None if path is None else read(path, spec)

    @cache  # noqa: B019 - a store of a process that keeps one chapter
    def _places(self, kind: str) -> dict[str, Path]:
        """Folder of a run by the identity that today's class gives to its fields."""
        found: dict[str, Path] = {}
        for path in sorted((self.root / kind).glob("*/spec.json"), key=lambda p: p.stat().st_mtime):
            with suppress(UserError, ValueError, KeyError):
                found[spec_of(json.loads(path.read_bytes())).identity] = path.parent
        return found


class _Noted(Mapping[str, NDArray[Any]]):
    """The arrays of a result; notes which are read."""

    def __init__(self, result: Result, keeper: _Keeper) -> None:
        self.result, self.keeper = result, keeper

    @property
    def whole(self) -> Mapping[str, NDArray[Any]]:
        own: Any = Result.__dict__["arrays"]
        return cast(Mapping[str, NDArray[Any]], own.func(self.result))

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self.whole[name]
        if not self.keeper.inside:
            self.keeper.read.setdefault(self.result.spec.identity, {})[name] = array
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole)

    def __len__(self) -> int:
        return len(self.whole)


class _Keeper:
    """What is kept in this process; written when it ends in order."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.inside = 0  # of how many marked functions we are now
        self.answers: dict[str, Any] = {}
        self.arrays: list[NDArray[Any]] = []
        self.places: dict[tuple[str, tuple[int, ...], bytes], int] = {}  # of arrays, by content
        self.results: dict[str, Any] = {}
        self.read: dict[str, dict[str, NDArray[Any]]] = {}
        atexit.register(self.write)

    def answer(self, name: str, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        self.inside += 1
        older = {}
        if OLDER in os.environ and "store" in signature(function).parameters:
            bound = signature(function).bind_partial(*args, **kwargs).arguments
            older = {} if bound.get("store") else {"store": Older()}
        try:
            value = function(*args, **{**kwargs, **older})
        finally:
            self.inside -= 1
        if not self.inside:  # else the outer one's answer holds it
            call = _call(name, args, kwargs)
            if call not in self.answers:
                self.answers[call] = self.plain(value)
        return value

    def write(self) -> None:
        arrays = {
            of: {name: self._array(array) for name, array in found.items()}
            for of, found in self.read.items()
        }
        content = {"answers": self.answers, "results": self.results, "arrays": arrays}
        text = json.dumps(_once(content), separators=(",", ":"))
        with zipfile.ZipFile(self.target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            stamp = (1980, 1, 1, 0, 0, 0)  # equal content, equal bytes
            file.writestr(zipfile.ZipInfo(CONTENT, stamp), text, zipfile.ZIP_DEFLATED)
            for number, array in enumerate(self.arrays):
                raw = io.BytesIO()
                np.save(raw, array, allow_pickle=False)
                info = zipfile.ZipInfo(f"{number}.npy", stamp)
                file.writestr(info, raw.getvalue(), zipfile.ZIP_DEFLATED)

    def _array(self, array: NDArray[Any]) -> int:
        array = np.asarray(array)
        of = array.dtype.str, array.shape, sha256(array.tobytes()).digest()
        if of not in self.places:
            self.places[of] = len(self.arrays)
            self.arrays.append(array)
        return self.places[of]

    def plain(self, value: Any) -> Any:
        """A value as JSON: plain ones as they are, others as [kind, ...]."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else ["float", str(value)]
        if isinstance(value, np.generic):
            return ["number", str(value.dtype), self.plain(value.item())]
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                return ["objects", list(value.shape), [self.plain(x) for x in value.ravel()]]
            return ["array", self._array(value)]
        if isinstance(value, list):
            return ["list", [self.plain(x) for x in value]]
        if isinstance(value, tuple):
            return ["tuple", [self.plain(x) for x in value]]
        if isinstance(value, Store):
            return ["store"]
        if isinstance(value, Result):
            return self._result(value)
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        if isinstance(value, BaseModel):
            return ["model", name, value.model_dump(mode="json")]
        if name.startswith(OURS) and is_dataclass(value):
            out = LEFT_OUT.get(name, {})
            kept = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return ["object", name, {k: self.plain(v) for k, v in kept.items() if k not in out}]
        if hasattr(value, "to_dict") and hasattr(value, "index"):
            return self._table(value)
        if isinstance(value, Mapping):
            if len(value) >= LONG and {*map(type, value)} == {int} \
                    and {*map(type, value.values())} == {float}:  # fmt: skip
                keys, values = np.array([*value], np.int64), np.array([*value.values()])
                return ["numbers", self._array(keys), self._array(values)]
            return ["dict", [[self.plain(k), self.plain(v)] for k, v in value.items()]]
        raise TypeError(f"a {name} cannot be kept: give plain values, arrays, tables, objects")

    def _table(self, value: Any) -> Any:
        index = [self.plain(value.index.to_numpy()), self.plain(list(value.index.names))]
        if hasattr(value, "columns"):
            columns = [self.plain(value.iloc[:, i].to_numpy()) for i in range(value.shape[1])]
            return ["frame", self.plain(list(value.columns)), columns, index]
        return ["column", self.plain(value.name), self.plain(value.to_numpy()), index]

    def _result(self, result: Result) -> Any:
        of = result.spec.identity
        if of not in self.results:
            arrays = _Noted(result, self)
            spec = cast(Spec, result.spec)
            self.results[of] = {
                "kind": spec.kind, "class": f"{type(spec).__module__}:{type(spec).__qualname__}",
                "spec": spec.model_dump(mode="json"), "key": result.key,
                "older": result.key != spec.key,
                "metrics": result.metrics, "provenance": result.provenance,
                "names": list(arrays),
            }  # fmt: skip
        result.__dict__["arrays"] = _Noted(result, self)
        return ["result", of]


def _once(content: Any) -> dict[str, Any]:
    """JSON with each of its long lists once, for specs of a study repeat each other's ids: `lists`
    holds them, {LIST: place} stands where they were."""
    lists, places = list[Any](), dict[str, int]()

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if not isinstance(value, list):
            return value
        made = [walk(item) if isinstance(item, dict | list) else item for item in value]
        if len(made) < LONG:
            return made
        text = json.dumps(made)
        if text not in places:
            places[text] = len(lists)
            lists.append(made)
        return {LIST: places[text]}

    return {"content": walk(content), "lists": lists}


def _again(found: Any) -> Any:
    """What `_once` was given."""
    lists: list[Any] = []

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if LIST in value:
                return lists[value[LIST]]
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) if isinstance(item, dict | list) else item for item in value]
        return value

    for one in found["lists"]:  # those within come before
        lists.append(walk(one))
    return walk(found["content"])


@cache
def _keeper(target: str) -> _Keeper:
    return _Keeper(Path(target))


# ---- Reading ----------------------------------------------------------------------------------


class _Given(Mapping[str, NDArray[Any]]):
    """The arrays of a kept result; those that no analysis read are known by name alone."""

    def __init__(self, names: list[str], places: Mapping[str, int], load: Callable[[int], Any]):
        self.names, self.places, self.load = names, places, load

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.places and name in self.names:
            raise _not_kept(f"the array {name} of a run")
        return cast(NDArray[Any], self.load(self.places[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class _Reader:
    def __init__(self, source: Path) -> None:
        self.file = zipfile.ZipFile(source)
        content = _again(json.loads(self.file.read(CONTENT)))
        self.answers, self.results = content["answers"], content["results"]
        self.arrays: dict[str, dict[str, int]] = content["arrays"]
        self.load, self.made = cache(self._load), cache(self._made)

    def answer(self, name: str, args: Any, kwargs: Any) -> Any:
        if (call := _call(name, args, kwargs)) not in self.answers:
            raise _not_kept(f"{name} of these parameters")
        return self.value(self.answers[call])

    def _load(self, place: int) -> NDArray[Any]:
        raw = io.BytesIO(self.file.read(f"{place}.npy"))
        return cast(NDArray[Any], np.load(raw, allow_pickle=False))

    def value(self, plain: Any) -> Any:
        if not isinstance(plain, list):
            return plain
        kind, *rest = plain
        return getattr(self, f"_{kind}")(*rest)

    def _float(self, text: str) -> float:
        return float(text)

    def _number(self, dtype: str, value: Any) -> Any:
        return np.dtype(dtype).type(self.value(value))

    def _array(self, place: int) -> NDArray[Any]:
        return self.load(place).copy()

    def _objects(self, shape: list[int], items: list[Any]) -> NDArray[Any]:
        found = np.empty(len(items), dtype=object)
        found[:] = [self.value(x) for x in items]
        return found.reshape(shape)

    def _list(self, items: list[Any]) -> list[Any]:
        return [self.value(x) for x in items]

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(self.value(x) for x in items)

    def _dict(self, pairs: list[list[Any]]) -> dict[Any, Any]:
        return {self.value(k): self.value(v) for k, v in pairs}

    def _numbers(self, keys: int, values: int) -> dict[int, float]:
        return dict(zip(self.load(keys).tolist(), self.load(values).tolist(), strict=True))

    def _store(self) -> Store:
        return Store()

    def _model(self, name: str, values: Any) -> Any:
        return _class(name).model_validate(values)

    def _object(self, name: str, values: Mapping[str, Any]) -> Any:
        given = {k: self.value(v) for k, v in values.items()}
        return _class(name)(**given, **LEFT_OUT.get(name, {}))

    def _frame(self, names: Any, columns: list[Any], index: Any) -> Any:
        import pandas as pd

        heads = self.value(names)
        frame = pd.DataFrame({i: self.value(column) for i, column in enumerate(columns)})
        frame.index = self._index(index)
        frame.columns = pd.Index(heads)
        return frame

    def _column(self, name: Any, values: Any, index: Any) -> Any:
        import pandas as pd

        return pd.Series(self.value(values), index=self._index(index), name=self.value(name))

    def _index(self, index: Any) -> Any:
        import pandas as pd

        values, names = (self.value(part) for part in index)
        if len(names) > 1:
            return pd.MultiIndex.from_tuples(list(values), names=names)
        return pd.Index(values, name=names[0])

    def _result(self, of: str) -> Result:
        return self.made(of)

    def _made(self, of: str) -> Result:
        kept = self.results[of]
        spec = _class(kept["class"]).model_validate(kept["spec"])
        path = Path(kept["kind"]) / kept["key"]
        result = Result(spec, path, kept["metrics"], kept["provenance"], sha256="")
        result.__dict__["arrays"] = _Given(kept["names"], self.arrays.get(of, {}), self.load)
        return result


def runs_of(source: Path) -> tuple[int, int]:
    """How many runs a file holds, and how many of them earlier code computed."""
    with zipfile.ZipFile(source) as file:
        results = json.loads(file.read(CONTENT))["content"]["results"].values()
    return len(results), sum(one["older"] for one in results)


def _class(name: str) -> Any:
    """A class by "module:name". Raises UserError for anything else, and for others' classes."""
    module, _, inner = name.partition(":")
    found: Any = None
    if module.startswith(OURS):
        found = import_module(module)
        for part in inner.split("."):
            found = getattr(found, part, None)
    if not isinstance(found, type) or not found.__module__.startswith(OURS):
        raise UserError(f"the kept record names {name}, which is no class of dataworth.")
    return found


@cache
def _reader(source: str) -> _Reader:
    try:
        return _Reader(Path(source))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{source} is not what a chapter kept: {error}.") from None


def _not_kept(what: str) -> UserError:
    return UserError(
        f"{what} is not among what was kept of this chapter; run it in full: make book, or "
        "dataworth run CHAPTER."
    )
