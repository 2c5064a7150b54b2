"""Every full-size network of the shipped experiments: builds, has the published parameter names, gives one pass.

    python benchmarks/full_size.py [NAME ...]

One after the other, each freed before the next; the largest needs about 3 GB. Nothing is downloaded: the weights are
random, which shows names, sizes and shapes, not recognition. Exits with 1 if a name, a count or a shape is not as
published. Counts are of the network without its classifier (where published: of the encoder), in millions.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from dataclasses import dataclass

import torch

from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.backbone import build_backbone, feature_width


@dataclass(frozen=True)
class Expected:
    """A network of an experiment, and what is published of it."""

    name: str
    side: int
    millions: float
    features: int
    keys: tuple[str, ...]
    pool: str = "default"


DENSE_LAYER = "features.denseblock4.denselayer16.conv2.weight"
# Counts: torchvision's and timm's tables less the classifier, CLIP's own less the text tower; at another side than the
# published one the positions count as many cells fewer (ViT-S: 22.06 at 518 px, 0.22 less at 392).
NETWORKS = [
    Expected("densenet121", 224, 6.95, 1024, ("features.conv0.weight", DENSE_LAYER, "features.norm5.weight")),
    Expected("resnet101", 224, 42.50, 2048, ("conv1.weight", "layer3.22.conv3.weight", "layer4.2.bn3.weight")),
    Expected("vgg16", 224, 134.26, 4096, ("features.28.weight", "pre_logits.fc1.weight", "pre_logits.fc2.weight")),
    Expected("resnet50", 224, 23.51, 2048, ("conv1.weight", "layer4.2.conv3.weight")),
    Expected("vit_base_patch16_224", 224, 85.80, 768, ("pos_embed", "blocks.11.mlp.fc2.weight", "norm.weight")),
    Expected("retfound", 224, 303.30, 1024, ("cls_token", "blocks.23.attn.qkv.bias", "fc_norm.weight")),
    Expected("retfound_dinov2", 224, 303.23, 1024, ("blocks.23.ls2.gamma", "norm.weight")),
    Expected("retfound_green", 392, 21.83, 384, ("reg_token", "blocks.11.ls1.gamma", "norm.weight")),
    Expected("vit_base_patch14_dinov2", 518, 86.58, 768, ("pos_embed", "blocks.11.ls1.gamma", "norm.weight")),
    Expected("vit_base_patch14_reg4_dinov2", 518, 86.58, 768, ("reg_token", "blocks.11.ls2.gamma", "norm.weight")),
    Expected(
        "clip_vit_b16", 224, 86.19, 512, ("visual.proj", "visual.transformer.resblocks.11.mlp.c_proj.weight")
    ),
]  # fmt: skip


def check(expected: Expected) -> tuple[str, list[str]]:
    """A row of the table, and what was not as published."""
    model = build_backbone(Network(backbone=expected.name), side=expected.side).eval()
    names = dict(model.named_parameters())
    millions = sum(parameter.numel() for parameter in names.values()) / 1e6
    faults = [f"no {key}" for key in expected.keys if key not in names]
    if abs(millions - expected.millions) > 0.01:
        faults.append(f"{expected.millions} million parameters expected")
    start = time.perf_counter()
    with torch.inference_mode():
        features = model(torch.rand(1, 3, expected.side, expected.side))
    seconds = time.perf_counter() - start
    if features.shape != (1, expected.features) or feature_width(model) != expected.features:
        faults.append(f"{expected.features} features expected, got {tuple(features.shape)}")
    if not torch.isfinite(features).all():
        faults.append("features are not finite")
    cells = (expected.name, expected.side, f"{millions:.2f}", features.shape[1], f"{seconds:.2f}")
    return "| " + " | ".join(map(str, cells)) + f" | {'; '.join(faults) or 'as published'} |", faults


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="backbones of the table; all by default")
    wanted = parser.parse_args().names
    print("| backbone | side | million parameters | features | seconds | |\n|---|---|---|---|---|---|")
    wrong = 0
    for expected in NETWORKS:
        if not wanted or expected.name in wanted:
            row, faults = check(expected)
            print(row, flush=True)
            wrong += bool(faults)
            gc.collect()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
