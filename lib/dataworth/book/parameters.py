"""A chapter's parameters: read, validate, refuse in one sentence, before any kernel starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth import strict_yaml
from dataworth.book import chapters
from dataworth.book.chapters import Chapter, Header
from dataworth.book.layout import QUICK, Layout, open_layout
from dataworth.errors import UserError, did_you_mean, quoted, short
from dataworth.parameters import NotLiteral, described, faults, literals, strictly

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dataworth.runs.forecast import Forecast


@dataclass(frozen=True)
class Row:
    """One line of a chapter's parameter table."""

    name: str
    value: Any
    default: Any
    unit: str
    meaning: str


@dataclass(frozen=True)
class Parameters:
    """Validated parameters: `values` are plain and go to papermill, `rows` go on the page."""

    values: dict[str, Any]
    rows: list[Row]
    model: BaseModel | None


def cell_defaults(chapter: Chapter, notebook: Any) -> dict[str, Any]:
    """Names and literal values of the one cell tagged `parameters`."""
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(
            f"book/{chapter.docname}.py must have one cell tagged 'parameters'; "
            f"it has {len(cells)}."
        )
    defaults: dict[str, Any] = {}
    try:
        for name, value in literals(cells[0].source):
            if name in defaults:
                raise UserError(
                    f"The parameters cell of book/{chapter.docname}.py sets '{name}' more than "
                    "once."
                )
            defaults[name] = value
    except NotLiteral as error:
        raise UserError(
            f"The parameters cell of book/{chapter.docname}.py may only hold lines "
            f"'name = literal', not '{short(str(error))}'."
        ) from None
    return defaults


def profile_files(chapter: Chapter, layout: Layout) -> list[Path]:
    """The files that say what a profile changes in a chapter's cell, the winning one last.

    params/<profile>/_<part>.yaml holds what chapters of a part, a folder of book/, have in common;
    the chapter's own file, params/<profile>/<stem>.yaml, wins. The profile quick is the cell.
    Raises UserError where the own file is missing.
    """
    if layout.profile == QUICK:
        return []
    part = chapter.source.parent
    shared, own = layout.params / f"_{part.name}.yaml", layout.params / f"{chapter.stem}.yaml"
    if not own.is_file():
        raise UserError(
            f"Chapter '{chapter.id}' has no parameters for profile '{layout.profile}': "
            f"{layout.show(own)} is missing (an empty file means those of the chapter's cell)."
        )
    return [shared, own] if shared.is_file() else [own]


def read_files(
    chapter: Chapter, layout: Layout, files: Iterable[Path], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What parameter files change in a chapter's cell (`defaults`), the later the more it holds,
    and the file and line of each name. In a file that a part shares (_<part>.yaml), what other
    chapters of the part have is left alone.

    Raises UserError where a file is not flat, or a shared one has a name that no chapter of the
    part has.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for path in files:
        found = strict_yaml.read(path, layout.show(path))
        if not isinstance(found.value, dict | None):
            raise UserError(f"{layout.show(path)} must hold a flat mapping 'name: value'.")
        lines = {name: f"{layout.show(path)}, line {line}" for name, line in found.lines.items()}
        given = found.value or {}
        if path.name == f"_{chapter.source.parent.name}.yaml":
            _check_shared(chapter, set(given) - set(defaults), lines)
            given = {name: value for name, value in given.items() if name in defaults}
        values |= given
        places |= lines
    return values, places


def _check_shared(chapter: Chapter, odd: set[str], places: dict[str, str]) -> None:
    """Raise UserError for a name that no chapter of the part has; `odd` are not this chapter's."""
    part = chapter.source.parent
    for source in sorted(part.glob("*.py")) if odd else ():
        odd = odd - _names(source, source.stat().st_mtime_ns)
    for name in sorted(odd):
        raise UserError(
            f"Unknown parameter '{short(name)}' ({places[name]}): no chapter of "
            f"book/{part.name}/ has it."
        )


@lru_cache
def _names(source: Path, stamp: int) -> frozenset[str]:
    """Names in the parameters cell of the chapter in `source`, as it was at the time `stamp`."""
    chapter = Chapter(source, f"{source.parent.name}/{source.stem}")
    return frozenset(cell_defaults(chapter, chapters.read(chapter)))


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` of the command line; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise UserError(f"'-p {short(text)}' is not a parameter; write -p name=value.")
    return name.strip(), strict_yaml.parse(value, f"The value of -p {short(name.strip())}").value


def resolve(
    chapter: Chapter,
    notebook: Any,
    header: Header,
    layout: Layout,
    overrides: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
) -> Parameters:
    """Defaults of the cell, then the profile's files, then `files`, then `overrides`; validated.

    Raises UserError naming the parameter, its value and what is allowed.
    """
    defaults = cell_defaults(chapter, notebook)
    own = profile_files(chapter, layout)
    given, places = read_files(chapter, layout, [*own, *files], defaults)
    given |= overrides or {}
    places |= dict.fromkeys(overrides or {}, "-p")
    for name in given:
        if name not in defaults:
            raise UserError(
                f"Unknown parameter '{short(name)}' for chapter '{chapter.id}' ({places[name]}); "
                f"it has {', '.join(defaults)}.{did_you_mean(name, defaults)}"
            )
    for name in header.main:
        if name not in defaults:
            raise UserError(
                f"The header of book/{chapter.docname}.py names '{short(name)}' in 'main'; "
                f"its parameters are {', '.join(defaults)}."
            )
    if header.params is None:
        return _resolve_plain(chapter, defaults, given, places)
    return _resolve_model(chapter, header.params, defaults, given, places)


def of_chapter(
    chapter_id: str,
    profile: str = QUICK,
    root: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Parameters:
    """`resolve` for a chapter of the book in `root` (default: this clone), by its id."""
    layout = open_layout(profile, root)
    chapter = chapters.get(layout.root, chapter_id)
    notebook = chapters.read(chapter)
    return resolve(chapter, notebook, chapters.header(chapter, notebook), layout, overrides)


def _resolve_plain(
    chapter: Chapter, defaults: dict[str, Any], given: dict[str, Any], places: dict[str, str]
) -> Parameters:
    """Without a model the type of the default is all that is known."""
    for name, value in given.items():
        default = defaults[name]
        number = isinstance(default, float) and type(value) in (int, float)
        if default is not None and type(value) is not type(default) and not number:
            raise UserError(
                f"Parameter '{name}' of chapter '{chapter.id}' is {quoted(value)} "
                f"({places[name]}); it must be of type {type(default).__name__}, "
                f"as {quoted(default)} is."
            )
    values = {**defaults, **given}
    rows = [Row(n, values[n], defaults[n], "", "") for n in defaults]
    return Parameters(values, rows, None)


def _resolve_model(
    chapter: Chapter,
    reference: str,
    defaults: dict[str, Any],
    given: dict[str, Any],
    places: dict[str, str],
) -> Parameters:
    from pydantic import ValidationError

    model = load_model(chapter, reference)
    if set(model.model_fields) != set(defaults):
        odd = ", ".join(sorted(set(model.model_fields) ^ set(defaults)))
        raise UserError(
            f"The parameters cell of book/{chapter.docname}.py and {reference} differ in: {odd}."
        )
    try:
        validated = strictly(model, {**defaults, **given})
    except ValidationError as error:
        raise UserError(f"Chapter '{chapter.id}': {faults(error, places)}.") from None
    values = validated.model_dump(mode="json")
    rows = []
    for name in defaults:
        meaning, unit = described(model, name)
        rows.append(Row(name, values[name], defaults[name], unit, meaning))
    return Parameters(values, rows, validated)


def load_model(chapter: Chapter, reference: str) -> type[BaseModel]:
    """The pydantic class that `module:Class` names."""
    module, _, name = reference.partition(":")
    try:
        model: type[BaseModel] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"book/{chapter.docname}.py names '{reference}' as its parameters, "
            f"which cannot be imported: {error}."
        ) from error
    return model


def preflight(parameters: Parameters) -> Parameters:
    """Call the model's own check of its surroundings (data there, pools large enough), if any;
    before it, what fetches them (`fetch`), after which the parameters may be others: gives them."""
    model = parameters.model
    fetch = getattr(type(model), "fetch", None)
    if model is not None and fetch is not None and fetch(model):
        from pydantic import ValidationError

        try:
            model = strictly(type(model), parameters.values)
        except ValidationError as error:
            raise UserError(f"{faults(error)}.") from None
        values = model.model_dump(mode="json")
        rows = [replace(row, value=values[row.name]) for row in parameters.rows]
        parameters = Parameters(values, rows, model)
    check = getattr(type(model), "preflight", None)
    if check is not None:
        check(model)
    return parameters


def doubts(parameters: Parameters) -> list[str]:
    """Sentences about lists of sizes (`sizes`, `..._sizes`, `tokens`, `..._tokens`) that run but
    cannot test a power law (`design.three_sizes`)."""
    from dataworth.design import three_sizes

    return [
        f"{name}: {told}"
        for name, value in parameters.values.items()
        if name.rpartition("_")[2] in ("sizes", "tokens")
        and isinstance(value, list)
        and (told := three_sizes(value))
    ]


def missing(parameters: Parameters, reference: str | None) -> Forecast:
    """What the study beside the model ("module:Class") would compute, by its own `run`; nothing is
    computed. Raises what the study raises."""
    from dataworth.runs.forecast import Forecast, forecast

    run = study(parameters, reference)
    return forecast(run) if run else Forecast(0, 0)


def study(parameters: Parameters, reference: str | None) -> Callable[[Any], Any] | None:
    """The study beside the model ("module:Class"), as a function of the store; None where the
    chapter has none."""
    run = getattr(import_module(reference.partition(":")[0]), "run", None) if reference else None
    return (lambda store: run(parameters.model, store)) if run else None


def cost(parameters: Parameters) -> Any:
    """What the model expects to spend: a mapping or a list of mappings, or None."""
    method = getattr(parameters.model, "cost", None)
    return method() if method is not None else None
