"""Published checkpoints into timm's names, and the one load that refuses whatever does not fit whole.

Three layouts besides timm's own are recognised by their keys:

- RETFound's masked autoencoder: `model`, with a decoder that is left out;
- DINOv2 as it is trained (RETFound-DINOv2): `teacher`, names behind `backbone.`, blocks perhaps in chunks;
- DINOv2 as its authors publish it: registers and class token apart, `w12` and `w3` in the gated layers.

Names may stand behind what a wrapper put before all of them (`module.` of DataParallel, `_orig_mod.` of torch.compile,
`model.` of a Lightning module): it is taken off.

A `.pth` file is read with `weights_only=True`; besides tensors it may hold an `argparse.Namespace`, which RETFound's
holds, and nothing else: no code of a file is ever run.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import fundoscope.training.torchvision_shim

import torch
from safetensors.torch import load_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from fundoscope.errors import BadCheckpoint

State = dict[str, Tensor]

LEFT_OUT: Final[dict[str, tuple[str, ...]]] = {
    "RETFound": ("mask_token", "decoder_"),
    "DINOv2 training": ("mask_token", "dino_head.", "ibot_head."),
    "DINOv2": ("mask_token",),
    "timm": (),
}
"""Layouts, and the names in each that belong to its pretraining and not to the encoder."""


PICKLED: Final = (".pth", ".pt", ".bin", ".tar", ".ckpt")
"""Endings of files that torch pickled; any other file must be safetensors."""


CONTAINERS: Final = ("teacher", "model", "state_dict", "model_state_dict", "net")
"""Names under which a file may hold the network's tensors; the first that is there counts."""

WRAPPERS: Final = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before the name of every tensor of the network inside them."""


class Checkpoint(NamedTuple):
    """A published network."""

    state: State
    """The encoder's tensors by timm's names."""
    layout: str
    """What it was recognised as: a name of LEFT_OUT."""


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The encoder's tensors in timm's names, from a safetensors or a `.pth` file in any known layout.

    Raises:
        BadCheckpoint: If there is no such file, it holds anything but tensors and settings, or no state dict.
    """
    pickled = Path(path).suffix.lower() in PICKLED
    stored: Mapping[str, Any] = _unpickled(path) if pickled else read_safetensors(path)
    containers = [name for name in CONTAINERS if isinstance(stored.get(name), Mapping)]
    inner = stored[containers[0]] if containers else stored
    state = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(inner):
        raise BadCheckpoint(
            f"{path}: expected a state dict, by itself or under teacher, model or state_dict, got the keys "
            f"{', '.join(map(str, list(stored)[:5]))}. Take the network's weights out of it, as safetensors"
        )
    state = unwrapped(state)
    layout = layout_of(state, teacher=containers[:1] == ["teacher"])
    return Checkpoint(to_timm(state, layout, where=str(path)), layout)


def unwrapped(state: State) -> State:
    """Return tensors by the network's own names, without what wrappers, one in the other, put before all of them."""
    while wrapper := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in state)), ""):
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state


def read_safetensors(path: Path | str) -> State:
    """Tensors of a safetensors file by name.

    Raises:
        BadCheckpoint: If there is no such file or it is not safetensors.
    """
    if not Path(path).is_file():
        raise BadCheckpoint(f"{path}: expected a safetensors file, there is none. Nothing is downloaded: put it there")
    try:
        return load_file(str(path))
    except Exception as error:  # safetensors raises its own untyped errors
        raise BadCheckpoint(
            f"{path}: expected a safetensors file ({error}). Convert a pickled checkpoint to safetensors first"
        ) from error


def layout_of(names: Collection[str], *, teacher: bool = False) -> str:
    """Which layout a checkpoint is in: a name of LEFT_OUT.

    Args:
        names: Of its tensors.
        teacher: Whether they are those of a teacher, which a student is trained beside.
    """
    if teacher:
        return "DINOv2 training"
    if any(name.startswith("decoder_") for name in names):
        return "RETFound"
    # A masked autoencoder's encoder has a mask token only beside its decoder; timm's DINOv2 has none.
    return "DINOv2" if "mask_token" in names or "register_tokens" in names else "timm"


def to_timm(state: Mapping[str, Tensor], layout: str, *, where: str) -> State:
    """Tensors of one layout by timm's names, those of the pretraining left out.

    Raises:
        BadCheckpoint: If names of the layout are missing, or two become one.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(LEFT_OUT[layout])}
    if layout.startswith("DINOv2"):
        kept = _renamed(kept, where)
        kept = _with_registers_apart(kept)
    return kept


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, where: str, may_miss: tuple[str, ...] = ()) -> None:
    """Load a state dict and refuse every mismatch outside the declared keys.

    A network that is half random grades without a word of warning; so a key too many, a key too
    few or a wrong shape is an error that lists them.

    Args:
        model: The network.
        state: Tensors by the network's own names.
        where: Where they come from, for messages.
        may_miss: Beginnings of names that may be missing, surplus or of another shape: the classifier's.

    Raises:
        BadCheckpoint: If keys or shapes do not fit.
    """
    own = model.state_dict()
    free = may_miss or ("\0",)
    missing = [key for key in own if key not in state and not key.startswith(free)]
    surplus = [key for key in state if key not in own and not key.startswith(free)]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    wrong_shapes = [key for key in shapes if not key.startswith(free)]
    # BatchNorm's counter of batches has no influence on anything that is computed.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    for kind, keys in (("missing", missing), ("unexpected", surplus), ("of another shape", wrong_shapes)):
        if keys:
            raise BadCheckpoint(
                f"{where}: {len(keys)} keys are {kind} for this network, among them {', '.join(keys[:3])}. "
                "The file belongs to another network or another naming; a partial load is refused"
            )
    kept = {key: value for key, value in state.items() if key in own and key not in shapes}
    broken = [key for key, value in kept.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise BadCheckpoint(
            f"{where}: expected finite weights, got NaN or infinity in {len(broken)} of {len(kept)} tensors, among "
            f"them {', '.join(broken[:3])}. Take weights of a run that did not diverge"
        )
    model.load_state_dict(kept, strict=False)


def resampled(positions: Tensor, wanted: Tensor, *, prefix: int) -> Tensor:
    """Position embeddings (1, prefix + old grid, width) on the square grid of another picture size.

    Bicubic without aligned corners, as RETFound resamples, and smoothed where the grid shrinks (timm's
    `resample_abs_pos_embed`). The same grid is given back as it is; so is what is no square, which no load accepts.

    Args:
        positions: As stored.
        wanted: The network's own, of the shape that is wanted.
        prefix: Positions of class and register tokens before the grid's.
    """
    cells = positions.shape[1] - prefix
    side, old = round((wanted.shape[1] - prefix) ** 0.5), round(max(cells, 0) ** 0.5)
    if positions.shape == wanted.shape or old**2 != cells or not cells:
        return positions
    fresh: Tensor = resample_abs_pos_embed(
        positions, new_size=[side, side], old_size=[old, old], num_prefix_tokens=prefix
    )
    return fresh


def _unpickled(path: Path | str) -> Mapping[str, Any]:
    """What a `.pth` file holds: tensors, numbers, texts and RETFound's settings; anything else is refused unread."""
    if not Path(path).is_file():
        raise BadCheckpoint(f"{path}: expected a checkpoint, there is none. Nothing is downloaded: put it there")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as problem:
        reason = _cause(str(problem))
        raise BadCheckpoint(
            f"{path}: expected a checkpoint of tensors and settings alone ({reason}). "
            "Convert it to safetensors where you trust it"
        ) from None
    if not isinstance(stored, Mapping):
        raise BadCheckpoint(f"{path}: expected a state dict, got {type(stored).__name__}. Save the state dict instead")
    return stored


def _cause(message: str) -> str:
    """Return the line of torch's long message that says what is wrong with the file."""
    refused = re.search(r"(?:Unsupported global: GLOBAL|Unsupported class|load unsupported GLOBAL) ([\w.]+)", message)
    if refused:
        return f"it holds {refused[1]}, which could run code"
    inner = message.partition("WeightsUnpickler error: ")[2] or message
    return inner.strip().partition("\n")[0] or "empty"


def _renamed(state: State, where: str) -> State:
    """DINOv2's names as timm's: no `backbone.`, no chunks of blocks, gated layers as fc1 and fc2."""
    renamed: State = {}
    for name, value in state.items():
        ours = name.removeprefix("backbone.")
        ours = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", ours)
        ours = ours.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2.")
        if ours in renamed:
            raise BadCheckpoint(
                f"{where}: expected one tensor for {ours}, got two, the second named {name}. Is this one network?"
            )
        renamed[ours] = value
    return {name: value for name, value in renamed.items() if name != "mask_token"}


def _with_registers_apart(state: State) -> State:
    """With registers timm adds the class token's position to the token itself, for registers have none."""
    if not {"register_tokens", "cls_token", "pos_embed"} <= set(state):
        return state
    rest = {name: value for name, value in state.items() if name != "register_tokens"}
    positions = rest["pos_embed"]
    return rest | {
        "reg_token": state["register_tokens"],
        "cls_token": rest["cls_token"] + positions[:, :1],
        "pos_embed": positions[:, 1:],
    }
