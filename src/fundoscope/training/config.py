"""Experiment files: TOML read into frozen dataclasses, every field explained, unknown keys refused.

`read_experiment("default_release", ["fit.epochs=5"])` finds a shipped experiment or a path, applies
the overrides, and checks everything before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from fundoscope.errors import BadExperiment
from fundoscope.grades import GRADES
from fundoscope.photo.recipe import Recipe
from fundoscope.training.ranges import Augment as Augment
from fundoscope.training.sampler import Sampling

HeadName = Literal["softmax", "regression", "coral", "cumulative", "corn", "prototype"]
LossName = Literal["coral", "corn", "cross_entropy", "focal", "soft_kappa", "mse", "smooth_l1"]

LOSSES_OF: Final[dict[str, tuple[str, ...]]] = {
    "softmax": ("cross_entropy", "focal", "soft_kappa"),
    "prototype": ("cross_entropy", "focal", "soft_kappa"),
    "regression": ("mse", "smooth_l1"),
    "coral": ("coral",),
    "cumulative": ("coral",),
    "corn": ("corn",),
}
"""Losses that fit each head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which photographs, and how they are divided."""

    manifest: str = ""
    """Path of the manifest (CSV or Parquet). Relative paths start at the working directory."""
    train: tuple[str, ...] = ("train",)
    """Values of `split` that are trained on."""
    validate: tuple[str, ...] = ("val",)
    """Values of `split` that are validated on; empty: no validation. Not used with folds."""
    folds: int = 0
    """Cross-validate on this many folds by patient, with out-of-fold predictions; 0: do not."""
    fold_salt: str = ""
    """Changes which patients fall into which fold."""
    only_folds: tuple[int, ...] = ()
    """Run only these folds; empty: all."""
    cache: str = "runs/cache"
    """Folder for prepared photographs, keyed by file hash and recipe."""

    def __post_init__(self) -> None:
        if self.folds == 1 or self.folds < 0:
            raise BadExperiment(f"data.folds: expected 0 or at least 2, got {self.folds}")
        if any(not 0 <= fold < self.folds for fold in self.only_folds):
            raise BadExperiment(f"data.only_folds: expected numbers from 0 to {self.folds - 1}, got {self.only_folds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network: a backbone by timm's name, a pooled feature vector, a head."""

    backbone: str = "mobilenet_edgetpu_100"
    """timm's name of the backbone."""
    weights: str = ""
    """Path of a safetensors state dict in timm's names; empty: random initialisation."""
    head: HeadName = "coral"
    """How the raw output is read (decide.heads)."""
    hidden: int = 0
    """Units of the head's hidden GELU layer; 0: the head is linear. DRStageNet uses 512, RetinaScan 1024."""
    hidden_dropout: float = 0.0
    """Share of the hidden layer's activations dropped while training; RetinaScan 0.5."""
    projection: int = 512
    """Prototype head only: width of the space in which features are compared with prototypes (CLIP's: 512)."""
    prototypes: str = ""
    """Prototype head only: path of an NPZ file whose array `prototypes` (5, projection) it starts from, for instance
    text embeddings; empty: vectors at right angles to one another."""
    second_head: Literal["none", HeadName] = "none"
    """A head for training only, on the first one's hidden layer; its output is neither graded with nor exported."""
    dropout: float = 0.2
    """Share of pooled features dropped while training."""
    drop_path: float = 0.0
    """Share of residual branches dropped while training, at the deepest block."""
    freeze: tuple[str, ...] = ()
    """Names of backbone parts that stay as they were loaded (and in evaluation mode), e.g. `blocks.0`."""
    flip_average: bool = False
    """Average the raw output over the photograph and its mirror image when grading. Doubles the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """Lesion boxes or masks as an auxiliary target on an inner feature map."""

    weight: float = 0.0
    """Weight of the lesion loss beside the grade's; 0: off."""
    index: int = -2
    """Which of the backbone's inner maps (timm's `forward_intermediates`) the lesions are read from."""
    positive: float = 4.0
    """Weight of a cell with a lesion against one without: boxes are rare and not exhaustive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is minimised."""

    name: LossName = "coral"
    """Must fit the head: coral with coral or cumulative, corn with corn, mse and smooth_l1 with regression, the
    others with softmax or prototype."""
    second: Literal["none", LossName] = "none"
    """Added to the first loss: of the second head, where there is one, else another loss of the same head."""
    second_weight: float = 0.5
    """Weight of the second loss; the first has 1. RetinaScan: coral on cumulative cuts and 0.5 focal on prototypes."""
    label_smoothing: float = 0.0
    """Cross-entropy only: share of the target spread over all grades."""
    focal_gamma: float = 2.0
    """Focal only: how much less a photograph counts that is graded right already; 0: cross-entropy. RetinaScan 2.5."""
    focal_alpha: tuple[float, ...] = ()
    """Focal only: weight of each of the five grades; empty: all 1."""
    cut_weights: Literal["none", "sqrt"] = "none"
    """Coral and corn only: weight of the photographs above a cut; sqrt(those below / those above) in training rows."""
    class_weights: Literal["none", "inverse", "inverse_sqrt"] = "none"
    """Weight of a photograph in all losses by the frequency of its grade in the training rows, scaled to mean 1."""

    def __post_init__(self) -> None:
        if self.focal_alpha and (len(self.focal_alpha) != GRADES or min(self.focal_alpha) < 0):
            raise BadExperiment(
                f"loss.focal_alpha: expected {GRADES} weights of at least 0, or none, got {self.focal_alpha}"
            )
        if self.focal_gamma < 0 or self.second_weight < 0:
            raise BadExperiment(
                "loss.focal_gamma, loss.second_weight: expected numbers of at least 0, "
                f"got {self.focal_gamma} and {self.second_weight}"
            )
        unread = {
            "label_smoothing": (self.label_smoothing > 0, ("cross_entropy",)),
            "focal_alpha": (bool(self.focal_alpha), ("focal",)),
            "cut_weights": (self.cut_weights != "none", ("coral", "corn")),
        }
        for key, (given, readers) in unread.items():
            if given and not {self.name, self.second} & set(readers):
                raise BadExperiment(
                    f"loss.{key}: expected loss.name or loss.second to be {' or '.join(readers)}, which alone read it, "
                    f"got {self.name!r} and {self.second!r}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """How the weights move."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float = 1e-3
    """Peak learning rate of the head; earlier layers get less where `layer_decay` is below 1."""
    bias_rate: float = 1.0
    """Factor on the rate of the head's biases. CORAL's four have to travel several logits in few steps."""
    layer_decay: float = 1.0
    """Factor on the rate for every layer further from the head."""
    weight_decay: float = 0.05
    """Not applied to biases and normalisation."""
    momentum: float = 0.9
    """SGD only, with Nesterov's correction."""
    warmup: float = 0.1
    """Share of all steps over which the rate rises from 0 to its peak; then it falls as a cosine."""
    floor: float = 0.0
    """Share of the peak that the cosine ends at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How long, how many at a time, how precisely."""

    epochs: int = 30
    batch: int = 16
    """Photographs in one forward pass."""
    accumulate: int = 1
    """Passes whose gradients are added up before a step."""
    clip: float = 1.0
    """Largest gradient norm; 0: no clipping."""
    precision: Literal["bf16-mixed", "16-mixed", "32-true"] = "bf16-mixed"
    """Lightning's names; stored weights are always fp32."""
    ema: float = 0.0
    """Decay per step of the running average of the weights that is validated and kept; 0: none."""
    sides: tuple[tuple[float, int], ...] = ()
    """Progressive resizing: (share of the epochs done, side in pixels) from which on a batch has that side."""
    keep: Literal["last", "best"] = "last"
    """Keep the last weights, or those with the best validation kappa. Out-of-fold predictions want `last`."""
    validate_every: int = 1
    """Epochs between two validations."""
    patience: int = 0
    """Validations without a better kappa after which training stops; 0: never."""
    checkpoint_steps: int = 50
    """Steps between two checkpoints that a killed run can resume from."""
    workers: int = 0
    """Loader processes; 0: in the training process."""
    threads: int = 0
    """CPU threads of torch; 0: all."""
    final: bool = False
    """After the folds: also fit on all training rows."""
    export: bool = False
    """After all: write a release, with temperature and thresholds from the out-of-fold predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the exported release says of itself, and the operating point it is given."""

    id: str = "local"
    version: str = "1"
    sensitivity: float = 0.9
    """Out-of-fold sensitivity for referable retinopathy that the referral threshold is set to."""
    cuts: Literal["kappa", "rounded"] = "kappa"
    """How the expected grade becomes a grade: by cuts fitted for quadratic kappa, or by rounding."""
    card: str = ""
    """Path of a model card in Markdown; empty: one is written from the facts of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A whole experiment, resolved: nothing about the training is decided elsewhere."""

    name: str
    seed: int = 0
    data: Data = field(default_factory=Data)
    recipe: Recipe = field(default_factory=lambda: Recipe(side=384))
    augment: Augment = field(default_factory=Augment)
    sampling: Sampling = field(default_factory=Sampling)
    network: Network = field(default_factory=Network)
    lesions: Lesions = field(default_factory=Lesions)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    fit: Fit = field(default_factory=Fit)
    release: Release = field(default_factory=Release)

    def __post_init__(self) -> None:
        _check_heads(self.network, self.loss)
        if self.fit.export and not (self.fit.final and self.data.folds):
            raise BadExperiment(
                "fit.export: needs data.folds (out-of-fold predictions set the temperature and the thresholds) "
                "and fit.final = true (the network that is exported)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; `experiment_from_dict` reads it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, value in values.items():
            if isinstance(value, Recipe):
                values[name] = value.to_dict()
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                values[name] = dataclasses.asdict(value)
        return typing.cast("dict[str, Any]", json.loads(json.dumps(values)))


def _check_heads(network: Network, loss: Loss) -> None:
    """Every loss must fit the head it is for, every head must have a loss, prototypes a head that reads them."""
    if network.second_head != "none" and loss.second == "none":
        raise BadExperiment(
            f"loss.second: expected {' or '.join(LOSSES_OF[network.second_head])} for network.second_head = "
            f"{network.second_head!r}, got 'none'"
        )
    second = ("network.head", network.head)
    if network.second_head != "none":
        second = ("network.second_head", network.second_head)
    for key, name, (place, head) in (
        ("loss.name", loss.name, ("network.head", network.head)),
        ("loss.second", loss.second, second),
    ):
        if name != "none" and name not in LOSSES_OF[head]:
            raise BadExperiment(f"{key}: expected {' or '.join(LOSSES_OF[head])} for {place} = {head!r}, got {name!r}")
    if network.prototypes and "prototype" not in (network.head, network.second_head):
        raise BadExperiment(
            "network.prototypes: expected network.head or network.second_head to be 'prototype', which alone reads it, "
            f"got {network.head!r} and {network.second_head!r}"
        )


def shipped_experiments() -> dict[str, Path]:
    """Name and path of every experiment that ships with the package, in order of name."""
    folder = Path(str(resources.files("fundoscope") / "experiments"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def read_experiment(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """Read a shipped experiment or a TOML file and apply `section.key=value` overrides.

    Raises:
        BadExperiment: If there is no such experiment, the file is not TOML, a key is unknown, a
            value is of the wrong type, or values contradict one another. The message names the key.
    """
    path = shipped_experiments().get(name, Path(name))
    if not path.is_file():
        known = ", ".join(shipped_experiments()) or "none"
        raise BadExperiment(f"{name}: expected a shipped experiment ({known}) or the path of a TOML file; no such file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadExperiment(f"{path}: expected a TOML file: {error}") from error
    values.setdefault("name", path.stem)
    for override in overrides:
        _apply(values, override)
    return experiment_from_dict(values, where=str(path))


def experiment_from_dict(values: Mapping[str, Any], *, where: str) -> Experiment:
    """Build an experiment from nested plain values; `where` names their origin in messages."""
    return typing.cast("Experiment", _build(Experiment, values, where, ""))


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in nested values; the value is read as TOML, else as text."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadExperiment(f"{override!r}: expected section.key=value, for instance fit.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise BadExperiment(f"{key}: {section} is a value, not a section")
    place[last] = value


def _build(kind: type, values: Mapping[str, Any], where: str, prefix: str) -> object:
    """Construct a dataclass from a mapping, recursing into sections; errors name the full key."""
    if kind is Recipe:
        try:
            return Recipe.from_dict(values)
        except (TypeError, ValueError) as error:
            raise BadExperiment(f"{where}: recipe: {error}") from error
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        section = prefix.rstrip(".") or "an experiment"
        raise BadExperiment(f"{where}: unknown key {prefix}{unknown[0]}; {section} knows {', '.join(hints)}")
    built = {key: _value(hints[key], value, where, f"{prefix}{key}") for key, value in values.items()}
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in built and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadExperiment(f"{where}: {prefix}{missing[0]} is missing")
    return kind(**built)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    """Check one value against its type, turning lists into tuples and whole numbers into floats."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise BadExperiment(f"{where}: {key}: expected a section, got {value!r}")
        return _build(hint, value, where, f"{key}.")
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise BadExperiment(f"{where}: {key}: expected one of {typing.get_args(hint)}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = typing.get_args(hint)
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            raise BadExperiment(f"{where}: {key}: expected {len(kinds)} values, got {value!r}")
        return tuple(_value(kind, item, where, key) for kind, item in zip(kinds, value, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    expected = hint.__name__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
    raise BadExperiment(f"{where}: {key}: expected {expected}, got {value!r}")


def first_comment(path: Path) -> str:
    """The first line of an experiment file's leading comment: what it is."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
