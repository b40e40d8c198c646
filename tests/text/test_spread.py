"""One model on two devices: the losses of one process, and a killed one goes on."""

import os
import signal
import threading
import time
from importlib import import_module

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_corpus import CONTEXT, language_model

from dataworth.runs import Store
from dataworth.text import spread
from dataworth.text.tokens import run_text_tasks

STEPS = 60
spawn = import_module("torch.multiprocessing.spawn")  # its package has a function of this name


def test_two_devices_have_the_losses_of_one_and_go_on_when_killed(store, tiny, monkeypatch):
    tokens = STEPS * 4 * CONTEXT
    (alone,) = run_text_tasks([language_model(tokens=tokens)], store=store)
    spec = language_model(tokens=tokens, devices=2)
    checkpoint = store.path(spec).with_name(f".{store.path(spec).name}.checkpoint")
    started, start = [], spawn.start_processes

    def watched(*given, **how):
        started.append(start(*given, **how))
        return started[-1]

    def kill():
        while not checkpoint.exists():
            time.sleep(0.001)
        os.kill(started[0].pids()[1], signal.SIGKILL)

    monkeypatch.setattr(spawn, "start_processes", watched)
    monkeypatch.setattr(spread, "EVERY", 5)
    threading.Thread(target=kill, daemon=True).start()
    (both,) = run_text_tasks([spec], store=store)
    assert len(started) == 2 and not checkpoint.exists()
    # Sums in another order: float32 rounding, which the steps carry on.
    np.testing.assert_allclose(both.arrays["curve"], alone.arrays["curve"], rtol=1e-3)
    assert both.metrics["loss_test"] == pytest.approx(alone.metrics["loss_test"], rel=2e-3)
    (again,) = run_text_tasks([spec], store=Store(store.root / "undisturbed"))
    assert len(started) == 3
    for name in both.arrays:
        np.testing.assert_array_equal(both.arrays[name], again.arrays[name])


def test_a_batch_must_divide():
    with pytest.raises(ValidationError, match="batch is 4, which 3 devices cannot share"):
        language_model(devices=3)
    assert language_model(devices=2).key != language_model().key
