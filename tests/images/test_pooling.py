"""Last blocks that compute one token alone, against the blocks of timm and open_clip."""

import pytest
import torch

from dataworth.images.classifiers import Vit
from dataworth.images.clip import Towers


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_classifier_is_that_of_timm(depth):
    import timm

    torch.manual_seed(0)
    vit = Vit(width=16, depth=depth, heads=2)
    ours = vit.build(28, 1, 10)
    theirs = timm.create_model(
        vit.name, img_size=28, patch_size=7, in_chans=1, embed_dim=16, depth=depth, num_heads=2,
        num_classes=10,
    )  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = ours.double(), theirs.double()
    x = torch.randn(5, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-9, atol=1e-9)
    same(gradients(ours, ours(x).square().sum()), gradients(theirs, theirs(x).square().sum()))


@pytest.mark.parametrize("text_depth", [1, 2])
def test_towers_are_those_of_open_clip(text_depth):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    end = 3
    towers = Towers(
        width=16, depth=2, text_width=16, text_depth=text_depth, head_width=8, embedding=8
    )
    ours = towers.build(28, 20, end)
    theirs = CLIP(
        8,
        CLIPVisionCfg(layers=2, width=16, head_width=8, patch_size=7, image_size=28),
        CLIPTextCfg(
            context_length=16, vocab_size=20, width=16, heads=2, layers=text_depth,
            pool_type="eos", eos_id=end,
        ),
    )  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = ours.double(), theirs.double()
    images = torch.randn(6, 3, 28, 28, dtype=torch.float64)
    text = torch.randint(4, 20, (6, 16))
    for row, place in enumerate([0, 3, 7, 15, 9, 1]):
        text[row, place] = end
        text[row, place + 1 :] = 0  # padding

    def product(model):
        return model.encode_image(images, normalize=True) @ model.encode_text(text).T

    torch.testing.assert_close(product(ours), product(theirs), rtol=1e-9, atol=1e-9)
    same(
        gradients(ours, product(ours).square().sum()),
        gradients(theirs, product(theirs).square().sum()),
    )
