"""Depthwise convolutions with wide kernels, whose weight gradient is computed in fp32 on a CPU.

oneDNN's gradient of a depthwise kernel of 5 px and more in bf16 takes three times as long as in fp32 (16 x 240 x 36 x
36, one core: 133 against 41 ms), and most of the time of training an EfficientNet-Lite. Nothing else is changed:
outputs and the gradient of the input stay in the precision of the fit.
"""

from __future__ import annotations

from typing import Any, Final

import fundoscope.training.torchvision_shim

import torch
import torch.nn.functional as F
import torch.nn.grad
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn

WIDE: Final = 5
"""Least side of a kernel that is worth it."""

GRADIENTS: Final[Any] = torch.nn.grad  # torch leaves its functions untyped


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias whose weight gradient is computed in fp32."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
        ctx.save_for_backward(pictures, weight)
        ctx.shape = stride, padding
        return F.conv2d(pictures, weight, None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,) = gradients
        pictures, weight = ctx.saved_tensors
        shape = (*ctx.shape, 1, weight.shape[0])  # stride, padding, dilation, groups
        of_pictures = of_weight = None
        if ctx.needs_input_grad[0]:
            of_pictures = GRADIENTS.conv2d_input(pictures.shape, weight, gradient, *shape)
        if ctx.needs_input_grad[1]:
            wide = GRADIENTS.conv2d_weight(pictures.float(), weight.shape, gradient.float(), *shape)
            of_weight = wide.to(weight.dtype)
        return of_pictures, of_weight, None, None


class _FastConv2d(nn.Conv2d):
    """A convolution of torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve; with the gradient in fp32 where that is faster."""
        if not _is_faster(self, input):
            return super().forward(input)
        return _convolve(input, self.weight, list(self.stride), [int(side) for side in self.padding])


class _FastConv2dSame(Conv2dSame):
    """A convolution of timm's that pads as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; with the gradient in fp32 where that is faster."""
        if not _is_faster(self, x):
            parent: Any = super()  # timm leaves its convolutions untyped
            result: Tensor = parent.forward(x)
            return result
        padded = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        return _convolve(padded, self.weight, list(self.stride), [0, 0])


FASTER: Final[dict[type[nn.Module], type[nn.Module]]] = {nn.Conv2d: _FastConv2d, Conv2dSame: _FastConv2dSame}


def speed_up_depthwise(network: nn.Module) -> int:
    """Compute the weight gradients of wide depthwise convolutions in fp32 where a CPU trains in bf16.

    The modules keep their names and weights; copies, checkpoints and exported graphs are what they were.

    Returns:
        The number of convolutions that are changed.
    """
    changed = 0
    for module in network.modules():
        if type(module) in FASTER and _is_wide(module):
            module.__class__ = FASTER[type(module)]
            changed += 1
    return changed


def _is_wide(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.bias is not None or isinstance(module.padding, str):
        return False
    depthwise = module.groups == module.in_channels == module.out_channels and module.groups > 1
    zeros = module.padding_mode == "zeros" and tuple(module.dilation) == (1, 1)
    return depthwise and zeros and min(module.kernel_size) >= WIDE


def _is_faster(module: nn.Module, pictures: Tensor) -> bool:
    """Whether gradients are taken in bf16 on a CPU; where a graph is traced, none are."""
    bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return bf16 and module.training and torch.is_grad_enabled() and pictures.device.type == "cpu"


def _convolve(pictures: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    function: Any = _Depthwise  # torch leaves `apply` untyped
    result: Tensor = function.apply(pictures.bfloat16(), weight.bfloat16(), stride, padding)
    return result
