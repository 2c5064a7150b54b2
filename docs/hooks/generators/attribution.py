"""Ways of explaining an answer, of which a release can carry some."""

from __future__ import annotations

from typing import Final

from fundoscope.runtime.runnable import HEATMAPS
from generators.markdown import plain, table

METHODS: Final = {
    "grad-cam": ("activations weighted by the mean gradient of their channel", "Selvaraju et al., ICCV 2017"),
    "grad-cam++": ("activations weighted by positive gradients, place by place", "Chattopadhay et al., WACV 2018"),
    "hires-cam": ("gradient times activation, place by place", "Draelos and Carin, 2020"),
    "layer-cam": ("the same with positive gradients alone", "Jiang et al., IEEE TIP 2021"),
    "eigen-cam": (
        "first principal direction of the activations; depends on no output",
        "Muhammad and Yeasin, IJCNN 2020",
    ),
    "rollout": ("attention of all blocks multiplied (transformers)", "Abnar and Zuidema, ACL 2020"),
    "grad-rollout": ("attention weighted by its gradient, multiplied (transformers)", "after Gildenblat, 2020"),
    "last-attention": ("attention of the last block, weighted by its gradient (transformers)", "RetinaScan"),
    "integrated-gradients": ("gradients summed on the way from a black photograph", "Sundararajan et al., ICML 2017"),
    "occlusion": ("how much the output falls where a window is covered", "Zeiler and Fergus, ECCV 2014"),
}
"""Method -> (what it computes, where it is from). Not `training.attribution.explain.METHODS`, which needs torch."""


def methods() -> str:
    """Return a table of the methods of `fundoscope explain --method`, and which of them a release can carry."""
    rows = (
        (f"`{name}`", plain(what), plain(source), "yes" if name in HEATMAPS else "no")
        for name, (what, source) in METHODS.items()
    )
    return table(("method", "what it computes", "source", "in a release"), rows)
