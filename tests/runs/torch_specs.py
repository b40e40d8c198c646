"""A spec whose run reaches torch, in a module of its own: those of `run_specs` do without."""

from __future__ import annotations

from typing import ClassVar

from dataworth.runs import Outcome, Spec, Store


class Torch(Spec):
    """Matrix products whose sums depend on how many threads form them."""

    kind: ClassVar[str] = "torch"
    seed: int

    def run(self, store: Store) -> Outcome:
        import torch

        torch.manual_seed(self.seed)
        x = torch.randn(300, 300)
        y = torch.tanh(x @ x.T / 17) @ torch.randn(300, 64)
        return Outcome(
            {"y": y.numpy(), "mean": y.mean().numpy()}, {"threads": torch.get_num_threads()}
        )
