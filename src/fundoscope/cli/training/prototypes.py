"""`fundoscope prototypes`: encode descriptions of the grades with CLIP's text tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fundoscope.cli.console import needs_extra, print_json, print_text, say_written
from fundoscope.errors import BadRequest


def prototypes(
    weights: Annotated[
        Path, typer.Argument(help="CLIP's weights, both towers. In open_clip's names: .safetensors or .pth.")
    ],
    descriptions: Annotated[
        Path,
        typer.Argument(
            help="Text file with a description of each grade. UTF-8, one line for each grade, 0 to 4: its "
            "clinical description."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.npz).")] = Path("prototypes.npz"),
    model_config: Annotated[
        Path | None,
        typer.Option(help="open_clip's JSON description of another network. Default: ViT-B/16 with QuickGELU."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Encode a description of each grade as a prototype that an experiment starts from (network.prototypes=FILE).

    Nothing is downloaded: bring the weights.
    """
    if out.exists():
        raise BadRequest(f"{out}: expected a file that is not there yet, got one that is. Name another with --out.")
    lines = [line.strip() for line in _read(descriptions, "descriptions").splitlines() if line.strip()]
    config = None if model_config is None else _config(model_config)
    with needs_extra("prototypes"):
        from fundoscope.training.networks.clip import text_prototypes
    encoded = text_prototypes(weights, lines, out, config=config)
    count, numbers = encoded.shape
    next_keys = f"network.prototypes={out} network.projection={numbers}"
    say_written(out)
    if as_json:
        print_json({"prototypes": str(out), "count": count, "numbers": numbers, "train_with": next_keys.split()})
    else:
        print_text(f"{count} prototypes of {numbers} numbers. Train with {next_keys}")


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadRequest(f"{path}: expected {what} as UTF-8 text, got {problem}. Check the path.") from None


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(_read(path, "open_clip's JSON"))
    except ValueError as problem:
        raise BadRequest(f"{path}: expected open_clip's JSON description of a network, got {problem}.") from None
    needed = ("embed_dim", "vision_cfg", "text_cfg")
    config = config.get("model_cfg", config) if isinstance(config, dict) else {}
    if missing := [key for key in needed if key not in config]:
        raise BadRequest(f"{path}: expected the keys {', '.join(needed)}, {missing[0]} is missing. Give another file.")
    return dict(config)
