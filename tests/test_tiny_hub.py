"""All chapters of the profiles `lab` and `paper` on a tiny hub: their own parameters
but for sizes, from the files of the hub to the last cell of the page."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import tiny_hub
from dataworth.book import chapters, layout, parameters
from dataworth.data.catalog import card
from dataworth.data.large_texts import large_texts
from dataworth.images import parts
from dataworth.paths import data_dir, project_root

SIZES: dict[str, Any] = {
    # images
    "real_sizes": [12, 24, 36, 48], "synthetic_sizes": [12, 24, 36, 48], "other_sizes": [24, 36],
    "fitted_from": 12, "budget": [[12, 5]], "batch": 8, "fixed_steps": 3, "epochs": 1, "seeds": 2,
    "other_model": "vit-2x32", "solver_steps": 1, "curve_steps": [1, 2], "curve_images": 48,
    "resamples": 100, "mixed_sizes": [12, 24], "ratios": [1, 2], "weighted_size": 12,
    "weighted_ratio": 2.0, "shares": [0.5], "judged_images": 48, "weakest": 3, "fix_size": 24,
    "fix_budget": 5, "guidances": [1.0, 2.0, 4.0], "learner": "vit-1x32", "judged": 48,
    "reference_size": 48, "cause_size": 24, "cause_budget": 5, "towers": "clip-2x64",
    "clip_budget": [[12, 5]], "clip_batch": 8, "group_sizes": [12], "probe_images": 24,
    "retrieval_images": 12, "images_per_caption": 2,
    # texts
    "loss_model": "trigram", "second_model": "lm-0.4m", "proxies": ["bigram"], "vocabulary": 300,
    "context": 32, "pool_bytes": 60_000, "tokens": 4096, "held_out_tokens": 500,
    "pareto_bytes": 100_000, "steps": 2, "questions": 8, "prompts": 2, "samples": 2,
    "examples": 16, "prompt": 8, "continuation": 8, "age_bytes": 120_000, "age_tokens": 4096,
    "draws": 2, "document_tokens": 60, "held_out_documents": 12, "windows": 1, "cut_every": 5,
    "documents": 20, "pieces": 30, "toxicity_scorers": ["toxicity", "bad-words"],
    "factors": [1, 2, 4, 8], "other_factors": [2, 8], "base_tokens": 2000,
    "generator_tokens": 4000, "generations": 2, "starts": 20, "curves": 30,
}  # fmt: skip
OF_CHAPTERS: dict[str, dict[str, Any]] = {
    "clip-scaling": {"sizes": [12, 24], "templates": "clip-7"},
    "prompts-and-guidance": {"sizes": [24, 36]},
    "data-age": {"steps": [1, 2]},
    "domains": {"model": "trigram"},
}
ON_CIFAR = ("lab", "mixing")  # by the option that params/lab/_images.yaml names
ROOT = project_root()
assert ROOT is not None
# Both profiles of every chapter with `make hub` (a job of its own in CI, many core minutes); of
# `make test` those that read both kinds of texts: Parquet and packed JSON lines.
SOME = {("lab", "domains"), ("paper", "domains")}
# Icons come from npm in every profile, and RFCs from Debian.
NO_HUB = ("open-world", "generator-quality", "repetition")
RUNS = [
    pytest.param(chapter, profile, id=f"{profile}-{chapter.id}")
    for chapter in chapters.find(ROOT)
    if chapter.id not in NO_HUB
    for profile in ("lab", "paper")
    if os.environ.get("DATAWORTH_SOAK") == "full" or (profile, chapter.id) in SOME
]


def model_of(chapter: chapters.Chapter) -> str:
    return "lm-0.1m" if chapter.source.parent.name == "text" else "vit-1x32"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub, and a home that all processes of the tests share: chapters share runs there. What the
    book's own packages hold is fetched where the smoke book has it."""
    place = tmp_path_factory.getbasetemp()
    if tmp_path_factory.getbasetemp().name.startswith("popen"):
        place = place.parent
    with FileLock(place / "tiny-hub.lock"):
        if not (place / "hub").is_dir():
            made = tiny_hub.make(place / "made", place / "scratch")
            (place / "home" / "data").mkdir(parents=True)
            for folder in data_dir().glob("[a-z]*"):
                if folder.name.rpartition("-")[0] not in large_texts():
                    (place / "home" / "data" / folder.name).symlink_to(folder)
            made.rename(place / "hub")
    return place


@pytest.mark.parametrize(("chapter", "profile"), RUNS)
def test_a_chapter_from_the_hub_to_its_last_cell(
    chapter: chapters.Chapter,
    profile: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "DATAWORTH_HOME": shared / "home",
        "DATAWORTH_HUB": shared / "hub",
        "DATAWORTH_WORKERS": 1,
        "DATAWORTH_RESULTS": tmp_path,
        "DATAWORTH_PROFILE": profile,
        "HF_HUB_OFFLINE": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(parts, "SHARD", 24)
    monkeypatch.chdir(tmp_path)
    notebook, where = chapters.read(chapter), layout.open_layout(profile, ROOT)
    sizes = SIZES | {"model": model_of(chapter)} | OF_CHAPTERS.get(chapter.id, {})
    cell = parameters.cell_defaults(chapter, notebook)
    header = chapters.header(chapter, notebook)
    asked = {name: value for name, value in sizes.items() if name in cell}
    if (profile, chapter.id) == ON_CIFAR:
        asked["card"] = "cifar10"
    params = parameters.preflight(parameters.resolve(chapter, notebook, header, where, asked))
    executed(notebook, params.values)
    (ledger,) = tmp_path.glob("*.json")
    told = json.loads(ledger.read_text())
    assert told["claims"]
    if params.values.get("generator") and chapter.id != "clip-scaling":
        assert "licence tiny-rail" in told["provenance"]["images of others' models"]
    if (named := params.values.get("card")) in tiny_hub.CARDS:
        assert str(shared / "hub") in (data_dir() / folder_of(named) / "source.json").read_text()


def folder_of(name: str) -> str:
    (found,) = data_dir().glob(f"{name}-{card(name).content_sha256[:8]}")
    return found.name


def executed(notebook: Any, values: dict[str, Any]) -> None:
    """Run a chapter's cells as a kernel does; what a cell ends with is shown as a page shows it."""
    here: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        code = ast.parse(cell.source)
        last = code.body.pop() if code.body and isinstance(code.body[-1], ast.Expr) else None
        exec(compile(code, "cell", "exec"), here)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), here)
            for form in ("_repr_html_", "_repr_markdown_"):
                if hasattr(shown, form):
                    getattr(shown, form)()
        if "parameters" in cell.metadata.get("tags", []):
            here |= values
