"""Wide depthwise convolutions train in bf16 with gradients at least as good as torch's own, and stay what they were."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

import fundoscope.training.torchvision_shim

import timm
from timm.layers.conv2d_same import Conv2dSame

from fundoscope.training.networks.depthwise import FASTER, speed_up_depthwise


def convolutions(kind: type, stride: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same convolution, as it is and changed."""
    torch.manual_seed(0)
    padding = 2 if kind is torch.nn.Conv2d else 0
    plain = kind(24, 24, 5, stride=stride, padding=padding, groups=24, bias=False)
    changed = copy.deepcopy(plain)
    assert speed_up_depthwise(changed) == 1
    return plain, changed


def gradients(module: torch.nn.Module, pictures: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    pictures = pictures.clone().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = module(pictures)
        output.float().pow(2).sum().backward()
    grads = output.detach().float(), pictures.grad.float(), module.weight.grad.float().clone()
    module.weight.grad = None
    return grads


@pytest.mark.parametrize("kind", list(FASTER))
@pytest.mark.parametrize("stride", [1, 2])
def test_outputs_are_torchs_and_weight_gradients_nearer_to_exact_ones(kind, stride):
    plain, changed = convolutions(kind, stride)
    pictures = torch.randn(4, 24, 17, 15)

    exact, own, ours = (
        gradients(module, pictures, dtype)
        for module, dtype in ((plain, torch.float32), (plain, torch.bfloat16), (changed, torch.bfloat16))
    )

    torch.testing.assert_close(ours[0], own[0], rtol=0, atol=0)
    torch.testing.assert_close(ours[1], own[1], rtol=0, atol=0)
    scale = exact[2].abs().mean()
    assert (ours[2] - exact[2]).abs().mean() / scale < 0.01
    assert (ours[2] - exact[2]).abs().mean() <= 1.05 * (own[2] - exact[2]).abs().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_network_trains_as_before_and_its_copies_learn_by_themselves(dtype):
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=4).train()
    changed = copy.deepcopy(plain)
    names = list(changed.state_dict())
    assert speed_up_depthwise(changed) == 9
    assert list(changed.state_dict()) == names
    pictures = torch.randn(2, 3, 64, 64)

    losses, grads = [], []
    for network in (plain, copy.deepcopy(changed)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = network(pictures).float().pow(2).mean()
        loss.backward()
        losses.append(float(loss.detach()))
        grads.append(network.blocks[4][1].conv_dw.weight.grad.flatten())

    assert losses[0] == losses[1]
    # The gradient of the copy's own weights: none of the network that it was copied from.
    assert changed.blocks[4][1].conv_dw.weight.grad is None
    assert torch.corrcoef(torch.stack(grads))[0, 1] > 0.999


@pytest.mark.parametrize(
    "other",
    [
        torch.nn.Conv2d(24, 24, 3, groups=24, bias=False),
        torch.nn.Conv2d(24, 24, 5, groups=24, bias=True),
        torch.nn.Conv2d(24, 24, 5, groups=12, bias=False),
        torch.nn.Conv2d(24, 48, 5, groups=24, bias=False),
        torch.nn.Conv2d(24, 24, 5, groups=24, bias=False, padding="same"),
        torch.nn.Conv2d(24, 24, 5, groups=24, bias=False, padding=2, padding_mode="reflect"),
        torch.nn.Conv2d(24, 24, 5, groups=24, bias=False, dilation=2),
        torch.nn.Conv2d(1, 1, 5, bias=False),
    ],
)
def test_other_convolutions_are_left_alone(other):
    assert speed_up_depthwise(torch.nn.Sequential(other)) == 0
    assert type(other) is torch.nn.Conv2d


def test_what_is_not_training_in_bf16_is_computed_as_before():
    _, changed = convolutions(Conv2dSame, 1)
    pictures = torch.randn(1, 24, 9, 9)

    changed.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert changed(pictures).grad_fn.name() != "_DepthwiseBackward"
    changed.train()
    assert changed(pictures).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert changed(pictures).grad_fn.name() == "_DepthwiseBackward"
