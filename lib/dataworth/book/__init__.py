"""From chapters to a book: jupytext -> papermill -> post-process -> Jupyter Book -> checks.

Each step is a module: `chapters` and `parameters` read what to run, `keys` says whether it must
run, `lock` keeps two builds of one chapter apart, `execute` and `worker` run it, `record` is what
is kept of a run, `page`, `pages` and `site` write the Sphinx source, `checks` reads the built HTML,
`tasks` ties them together.
"""
