"""One language model trained on several devices of a machine, each with its part of every batch.

Each of g processes computes the loss of its g-th of a step's rows, and gradients are averaged
(torch's DistributedDataParallel), so that losses and steps are those of one process but for the
order in which sums are formed. A checkpoint lies in the store beside the result: where a process
dies all begin again from it, as does a run that was killed as a whole.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.optimisation import Descent, Optimisation
from dataworth.text.models import Decoder, next_token_nats
from dataworth.threads import one_thread

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

EVERY = 200  # steps from one checkpoint to the next
ATTEMPTS = 3  # of all processes, where one of them dies


def train_on(
    devices: int,
    start: torch.nn.Module,
    decoder: Decoder,
    rows: NDArray[np.uint16],
    batch: int,
    optimisation: Optimisation,
    checkpoint: Path,
) -> tuple[torch.nn.Module, torch.Tensor]:
    """The model `start` (of `decoder`) trained on rows (R, T + 1), and the loss of every step, in
    nats per token; see `training.train`. Devices are GPUs, or processes where there is none.
    Raises RuntimeError with a process's last words where they fail `ATTEMPTS` times."""
    import torch
    from torch.multiprocessing.spawn import ProcessException, start_processes

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        np.save(here / "rows.npy", rows)
        torch.save(start.state_dict(), here / "start.pt")
        for attempt in range(ATTEMPTS):
            given = (devices, here, attempt, decoder, batch, optimisation, checkpoint, EVERY)
            processes = start_processes(_train, given, devices, join=False, start_method="spawn")
            try:
                while not processes.join():
                    pass
                break
            except ProcessException as error:  # it has ended the others
                log.warning("training on %d devices: %s", devices, str(error).strip()[-1500:])
                if attempt == ATTEMPTS - 1:
                    raise RuntimeError(f"training on {devices} devices failed: {error}") from error
        found = torch.load(here / "end.pt", map_location=compute.device())
    start.load_state_dict(found["model"])
    checkpoint.unlink(missing_ok=True)
    return start.eval(), found["losses"]


def _train(
    rank: int,
    count: int,
    here: Path,
    attempt: int,
    decoder: Decoder,
    batch: int,
    optimisation: Optimisation,
    at: Path,
    every: int,
) -> None:
    """What each process does."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    one_thread()
    gpu = compute.has_gpu()
    if gpu:
        torch.cuda.set_device(rank)
    elif Path("/sys/class/net/lo").exists():  # the machine's own name may have no address
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    compute.set_deterministic()
    meeting = f"file://{here}/meeting-{attempt}"
    distributed.init_process_group(
        "nccl" if gpu else "gloo", init_method=meeting, rank=rank, world_size=count
    )
    state = torch.load(here / "start.pt", map_location="cpu")
    model = decoder.build(len(state["embedding"]))
    model.load_state_dict(state)
    model.to(compute.device())
    rows, own = np.load(here / "rows.npy", mmap_mode="r"), batch // count
    descent = Descent(model, optimisation, len(rows) // batch)
    descent.resume(at)
    told = descent.done  # steps whose loss is that of the whole batch already

    class Loss(torch.nn.Module):
        """The loss as a module's output, where DistributedDataParallel looks for gradients."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return next_token_nats(self.model, tokens, targets)[0]

    shared = DistributedDataParallel(Loss(), device_ids=[rank] if gpu else None)

    def loss(step: int) -> torch.Tensor:
        first = step * batch + rank * own
        block = torch.from_numpy(np.asarray(rows[first : first + own]).astype(np.int64))
        block = block.to(compute.device())
        with compute.precision():
            found: torch.Tensor = shared(block[:, :-1], block[:, 1:])
            return found

    def checkpoint(done: int, trained: torch.nn.Module) -> None:
        nonlocal told
        distributed.all_reduce(descent.losses[told:done])
        descent.losses[told:done] /= count
        told = done
        if rank == 0:
            descent.save(at)

    trained = descent.run(loss, every=every, checkpoint=checkpoint)
    if rank == 0:
        torch.save({"model": trained.state_dict(), "losses": descent.losses}, here / "end.pt")
    distributed.barrier()
    distributed.destroy_process_group()
