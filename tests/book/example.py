"""A small book in a folder, for the tests: one chapter with a figure, a table and a verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

CHAPTER = """\
# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   dataworth:
#     params: "example_params:Example"
#     description: A line through points.
#     device: cpu
#     expected_minutes: {smoke: 0.1}
#     answer: rises
# ---

# %% [markdown]
# # Does a line go through the points?
#
# First prose. The {term}`scaling law` is $L = a D^{-k}$, see {cite}`hestness2017predictable`.

# %%
import json, os, sys, warnings
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from dataworth import claims
from dataworth.stats import Estimate

# %% tags=["parameters"]
slope = 2.0
points = 5
seed = 0

# %% [markdown]
# ## Method
#
# We draw points and fit a line.

# %%
generator = np.random.default_rng(seed)
x = np.arange(points)
y = slope * x + generator.normal(size=points)
print("mean", y.mean().round(3))
print("to" + " stderr", os.getpid(), file=sys.stderr)
warnings.warn(f"of process {os.getpid()} in {os.getcwd()}", DeprecationWarning)
with open(os.environ["DATAWORTH_PROGRESS"], "a") as stream:
    stream.write(json.dumps({"label": "fits", "done": 1, "total": 1, "eta_s": 0, "t": 0}) + "\\n")

# %% tags=["hide-input"]
import io
from IPython.display import display
fig, ax = plt.subplots(figsize=(4, 3))
ax.plot(x, y, "o")
buffer = io.StringIO()
with plt.rc_context({"svg.hashsalt": "0"}):
    fig.savefig(buffer, format="svg", metadata={"Date": None})
plt.close(fig)
meta = {"alt": "Points that rise", "caption": "Points and *their* line.", "name": "fig-points"}
display({"image/svg+xml": buffer.getvalue()}, metadata={"dataworth": meta}, raw=True)

# %%
pd.DataFrame({"x": x, "y": y}).style.hide()

# %% [markdown]
# ## Verdict
#
# See {numref}`fig-points`.

# %%
slope_here = Estimate(float(np.polyfit(x, y, 1)[0]), 1.0, 3.0, np.empty(0))
ledger = claims.judge("line-fit", {"rises": slope_here})
claims.write(ledger, evidence={}, provenance={"runs": 5})
print("in", claims.results_dir() / "line-fit.json")
"""

CLAIMS = """\
rises:
  statement: The line rises
  source: Example 2020, Table 1
  published: "2.0"
  region: [0, 10]
  unit: per point
  matters: null
  definition: slope of the line
  effect: it rises by {value:.1f}
  practice: {supported: "Expect {value:.1f} more a point."}
"""

PARAMS = """\
from pydantic import BaseModel, Field
from dataworth.errors import UserError


class Example(BaseModel):
    slope: float = Field(2.0, gt=0, description="slope of the line",
                         json_schema_extra={"unit": "1"})
    points: int = Field(5, ge=3, le=100, description="points | drawn",
                        json_schema_extra={"unit": "points"})
    seed: int = Field(0, ge=0, description="random seed")

    @classmethod
    def preflight(cls, params):
        if params.points > 50:
            raise UserError("points is 60, but the pool holds 50.")

    def cost(self):
        return [{"part": "fits", "hours": 1.5 * self.points}]
"""

INDEX = """\
# A small book

% dataworth: scale

95 % intervals over seeds cover the truth.

% dataworth: tally

% dataworth: picture

% dataworth: answers line-fit

% dataworth: moved

% dataworth: figures

% dataworth: decision line-fit
"""
LEDGER = "# Ledger\n\n% dataworth: ledger\n"

TOC = """\
format: jb-book
root: index
parts:
  - caption: Part I
    chapters:
      - file: part/line_fit
      - file: ledger
  - caption: About
    chapters:
      - file: run_times
      - file: glossary
      - file: references
"""


def make_book(root: Path) -> Path:
    """A copy of the repository's front matter with one example chapter in place of its own."""
    shutil.copytree(
        REPOSITORY / "book", root / "book", ignore=shutil.ignore_patterns("*.py", "images", "text")
    )
    shutil.copy(REPOSITORY / "_config.yml", root / "_config.yml")
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text(INDEX)
    (root / "book" / "ledger.md").write_text(LEDGER)
    (root / "book" / "part").mkdir()
    (root / "book" / "part" / "line_fit.py").write_text(CHAPTER)
    (root / "book" / "part" / "line_fit.claims.yaml").write_text(CLAIMS)
    (root / "example_params.py").write_text(PARAMS)
    for profile in ("smoke", "paper"):
        (root / "params" / profile).mkdir(parents=True)
        (root / "params" / profile / "line_fit.yaml").write_text("slope: 3.0\npoints: 10\n")
    return root
