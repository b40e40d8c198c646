"""Settings for every test, and which tests `make check` leaves out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Times on a shared machine say nothing about a test's subject.
settings.register_profile("dataworth", deadline=None)
settings.load_profile("dataworth")

# One process takes all tests of such a file, in their order: what one leaves the next goes on from,
# or they share something that takes long to make. (`xdist_group` marks nothing under pytest 9.2:
# xdist 3.8 writes the group into an attribute that is gone.)
TOGETHER = (
    "book/test_browser.py",
    "book/test_build.py",
    "book/test_forecast.py",
    "book/test_variants.py",
    "fit/test_recipes.py",
    "runs/test_engines.py",
    "test_closure.py",
    "test_environments.py",
)

SLOW = [
    "book/test_api.py",
    "book/test_build.py",
    "book/test_every_way.py",
    "book/test_forecast.py",
    "book/test_kept_chapters.py",
    "book/test_variants.py",
    "book/test_work.py",
    "data/test_large.py",
    "fit/test_more_commands.py",
    "fit/test_properties.py",
    "fit/test_recipes.py",
    "fit/test_report.py",
    "images/test_augmentation.py",
    "images/test_classifiers.py",
    "images/test_clip.py",
    "images/test_clip_scaling.py",
    "images/test_cost.py",
    "images/test_feeding.py",
    "images/test_fidelity.py",
    "images/test_generator_families.py",
    "images/test_generators.py",
    "images/test_mixing.py",
    "images/test_out_of_distribution.py",
    "images/test_own_card.py",
    "images/test_parts.py",
    "images/test_per_class.py",
    "images/test_pipelines.py",
    "images/test_prompts_and_guidance.py",
    "images/test_shifts.py",
    "images/test_synthetic_scaling.py",
    "images/test_train_families.py",
    "images/test_train_generator.py",
    "runs/test_engines.py",
    "runs/test_instructions.py",
    "runs/test_runs_engine.py",
    "soak/test_archives.py",
    "soak/test_csv.py",
    "soak/test_files.py",
    "soak/test_hidden_insults.py",
    "soak/test_parameter_files.py",
    "soak/test_store.py",
    "text/test_characteristics.py",
    "text/test_data_age.py",
    "text/test_domains.py",
    "text/test_downstream.py",
    "text/test_filtering.py",
    "text/test_proxy_validity.py",
    "text/test_scores.py",
    "text/test_spread.py",
    "text/test_synthetic_text.py",
    "text/test_training.py",
    "test_threads.py",
    "test_tiny_hub.py",
    "book/test_lab.py::test_opening_and_saving_changes_no_file_and_keeps_outputs",
    "book/test_shared_parameters.py::test_chapters_that_share_runs_share_their_parameters",
    "data/test_data_icons.py::test_real_fetch_of_the_icons",
    "data/test_data_images.py::test_real_fetch_of_the_debian_package",
    "data/test_data_images.py::test_two_processes_at_once",
    "data/test_data_providers.py::test_a_local_folder_that_does_not_fit",
    "data/test_named_icons.py::test_described_images_are_fetched_and_loaded",
    "data/test_data_text.py::test_no_near_duplicate_across_the_splits_of_a_card",
    "fit/test_device.py::test_every_law_agrees_with_numpy",
    "fit/test_intervals.py::test_a_narrow_huber_zone_keeps_its_interval_honest",
    "fit/test_intervals.py::test_coverage_of_the_profile_on_six_runs",
    "fit/test_flags.py::test_the_picture_names_the_flags",
    "runs/test_runs_progress.py::test_a_notebook_has_one_line_that_leaves_nothing",
    "runs/test_runs_progress.py::test_papermill_stores_nothing_of_it",
    "runs/test_runs_spec.py::test_key_differs_when_any_field_differs",
    "test_alone.py::test_what_works_alone",
    "test_alone.py::test_everything_else_is_one_sentence",
    "test_coverage.py::test_intervals_cover_what_they_promise",
    "test_scale.py::test_operations_tell_the_time",
    "test_closure.py::test_a_figures_code_changes_chapters_and_no_run",
    "test_closure.py::test_the_builder_and_the_command_line_change_no_chapter",
    "test_closure.py::test_one_changed_line_changes_the_keys_that_reach_it_and_no_other",
    "test_closure.py::test_the_rooms_of_images_and_texts_leave_each_others_chapters_alone",
    "test_remembered.py::test_a_closure_is_the_same_with_and_without_it",
    "test_compute.py::test_the_machine_says_what_torch_finds",
]
"""What trains, samples, renders or kills: the files (of which `-m "not slow"` imports none, since
torch, diffusers and open_clip take seconds) and single tests of other files."""

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from all tests but those of tests/test_gpu.py, which are run alone: what is tested
    is then the same on every machine, in the processes that tests start too."""
    if {Path(arg.partition("::")[0]).name for arg in config.args} != {"test_gpu.py"}:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    name = collection_path.relative_to(HERE).as_posix() if HERE in collection_path.parents else ""
    return True if name in SLOW and config.option.markexpr == "not slow" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            name = item.path.relative_to(HERE).as_posix()
            if name in SLOW or f"{name}::{item.name.partition('[')[0]}" in SLOW:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(TOGETHER) else nodeid

    return Scheduling(config, log)
