"""The sections of an experiment file: what may be chosen, with its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fundoscope.errors import BadExperiment
from fundoscope.grades import GRADES
from fundoscope.training.experiment.bounds import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Bounds,
    at_least,
    check_bounds,
    check_name,
    check_path,
)
from fundoscope.training.experiment.ranges import Augment

HeadName = Literal["softmax", "regression", "coral", "cumulative", "corn", "prototype", "signs"]
LossName = Literal["coral", "corn", "cross_entropy", "focal", "soft_kappa", "mse", "smooth_l1", "binary_cross_entropy"]

LOSSES_OF: Final[dict[str, tuple[str, ...]]] = {
    "softmax": ("cross_entropy", "focal", "soft_kappa"),
    "prototype": ("cross_entropy", "focal", "soft_kappa"),
    "regression": ("mse", "smooth_l1"),
    "coral": ("coral",),
    "cumulative": ("coral",),
    "corn": ("corn",),
    "signs": ("binary_cross_entropy",),
}
"""Losses that fit each head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network: a backbone by timm's name, a pooled feature vector, a head."""

    backbone: str = "mobilenet_edgetpu_100"
    """timm's name of the backbone; `cnn3`, three convolutions; `clip_vit_b16`, CLIP's image tower; or `retfound`,
    `retfound_dinov2`, `retfound_green`: timm's transformers that know what those were trained with."""
    size: dict[str, Any] = field(default_factory=dict)
    """Options for the backbone's builder, e.g. `{depth = 2, embed_dim = 48}`; empty: as published."""
    weights: str = ""
    """Path of a safetensors or `.pth` state dict in timm's names, or of a published checkpoint of RETFound's,
    RETFound-DINOv2's, DINOv2's or CLIP's; empty: random initialisation."""
    weights_licence: str = ""
    """Licence of those weights as their publisher states it; empty: unknown, and the release says so."""
    pool: Literal["default", "mean", "class_token"] = "default"
    """Transformers only: the features are the mean of the patch tokens (no class or register token counts), or the
    class token; default: as published."""
    normalisation: Literal["recipe", "backbone"] = "recipe"
    """Mean and standard deviation that photographs are normalised by: the recipe's, or those that the backbone was
    trained with, which then replace the recipe's."""
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
    trainable: tuple[str, ...] = ()
    """Parts of the backbone that learn, all others staying as they were loaded; empty: all but `freeze`. Names of
    parts, or `head` (nothing of the backbone), `last stage`, `last dense block`, `last convolutional block`."""
    frozen_batch_norm: bool = False
    """Batch norms keep the statistics they were loaded with, so that no photograph's answer depends on its batch."""
    eyes: Literal[1, 2] = 1
    """2: each photograph is graded together with the same patient's other eye, where there is one."""
    fellow_dropout: float = 0.2
    """Two eyes only: share of the photographs that are shown without the other eye in training."""
    flip_average: bool = False
    """Average the raw output over the photograph and its mirror image when grading. Doubles the cost."""

    def __post_init__(self) -> None:
        if self.freeze and self.trainable:
            raise BadExperiment(
                "network.freeze, network.trainable: expected one of them (what stays, or what alone learns), got both. "
                "Empty either"
            )
        shares = ("hidden_dropout", "dropout", "drop_path", "fellow_dropout")
        counts = {"hidden": at_least(0), "projection": at_least(1)}
        check_bounds(self, "network", dict.fromkeys(shares, BELOW_ONE) | counts)
        for key in ("backbone", "weights", "prototypes"):
            check_path(getattr(self, key), f"network.{key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """Lesion boxes or masks as an auxiliary target on an inner feature map."""

    weight: float = 0.0
    """Weight of the lesion loss beside the grade's; 0: off."""
    index: int = -2
    """Which of the backbone's inner maps (timm's `forward_intermediates`) the lesions are read from."""
    positive: float = 4.0
    """Weight of a cell with a lesion against one without: boxes are rare and not exhaustive."""

    def __post_init__(self) -> None:
        check_bounds(self, "lesions", {"weight": NOT_NEGATIVE, "index": Bounds(-100, 100), "positive": POSITIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is minimised."""

    name: LossName = "coral"
    """Must fit the head: coral with coral or cumulative, corn with corn, mse and smooth_l1 with regression, the
    others with softmax or prototype."""
    weight: float = 1.0
    """Weight of the first loss."""
    second: Literal["none", LossName] = "none"
    """Added to the first loss: of the second head, where there is one, else another loss of the same head."""
    second_weight: float = 0.5
    """Weight of the second loss. RetinaScan: 1 for the cuts, 0.5 for the focal loss on prototypes."""
    label_smoothing: float = 0.0
    """Cross-entropy only: share of the target spread over all grades."""
    focal_gamma: float = 2.0
    """Focal only: how much less a photograph counts that is graded right already; 0: cross-entropy. RetinaScan 2.5."""
    focal_alpha: tuple[float, ...] = ()
    """Focal only: weight of each of the five grades; empty: all 1."""
    cut_weights: Literal["none", "sqrt"] = "none"
    """Coral and corn only: weight of the photographs above a cut; sqrt(those below / those above) in training rows."""
    class_weights: Literal["none", "inverse", "inverse_sqrt", "grade_source"] = "none"
    """Weight of a photograph in all losses by the frequency of its grade in the training rows, scaled to mean 1;
    grade_source: GDRNet's product of a weight of its grade and one of its source."""

    def __post_init__(self) -> None:
        if self.focal_alpha and (len(self.focal_alpha) != GRADES or min(self.focal_alpha) < 0):
            raise BadExperiment(
                f"loss.focal_alpha: expected {GRADES} weights of at least 0, or none, got {self.focal_alpha}"
            )
        weights = dict.fromkeys(("focal_gamma", "focal_alpha", "weight", "second_weight"), NOT_NEGATIVE)
        check_bounds(self, "loss", weights | {"label_smoothing": BELOW_ONE})
        if not self.weight and (self.second == "none" or not self.second_weight):
            raise BadExperiment(
                "loss.weight: expected a number above 0, or a loss.second with a weight above 0, got 0: nothing would "
                "be learnt. Change loss.weight"
            )
        unread = {
            "label_smoothing": (self.label_smoothing > 0, ("cross_entropy",)),
            "focal_alpha": (bool(self.focal_alpha), ("focal",)),
            "cut_weights": (self.cut_weights != "none", ("coral", "corn")),
        }
        for key, (is_set, readers) in unread.items():
            if is_set and not {self.name, self.second} & set(readers):
                raise BadExperiment(
                    f"loss.{key}: expected loss.name or loss.second to be {' or '.join(readers)}, which alone read it, "
                    f"got {self.name!r} and {self.second!r}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """How the weights move."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimisation method."""
    rate: float = 1e-3
    """Peak learning rate of the head; earlier layers get less where `layer_decay` is below 1."""
    bias_rate: float = 1.0
    """Factor on the rate of the head's biases. CORAL's four have to travel several logits in few steps."""
    layer_decay: float = 1.0
    """Factor on the rate for every layer further from the head."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """What the rate does after the warm-up: falls as a cosine, by steps at the milestones, or stays."""
    milestones: tuple[float, ...] = (0.5,)
    """Steps only: shares of all steps after which the rate is multiplied by `milestone_factor`."""
    milestone_factor: float = 0.1
    """Steps only: what the rate is multiplied by at each milestone."""
    weight_decay: float = 0.05
    """Not applied to biases and normalisation."""
    momentum: float = 0.9
    """SGD only, with Nesterov's correction."""
    warmup: float = 0.1
    """Share of all steps over which the rate rises from 0 to its peak; then it follows the schedule."""
    floor: float = 0.0
    """Share of the peak that the cosine ends at."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            "optimiser",
            {
                "rate": POSITIVE,
                "bias_rate": NOT_NEGATIVE,
                "layer_decay": Bounds(0, 1, low_open=True),
                "milestone_factor": Bounds(0, 1, low_open=True),
                "weight_decay": NOT_NEGATIVE,
                "momentum": BELOW_ONE,
                "warmup": SHARE,
                "floor": SHARE,
            },
        )
        if list(self.milestones) != sorted(self.milestones) or any(not 0 <= share <= 1 for share in self.milestones):
            raise BadExperiment(
                f"optimiser.milestones: expected rising shares of all steps from 0 to 1, got {self.milestones}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How long, how many at a time, how precisely."""

    epochs: int = 30
    """Number of passes over the training photographs, or as many draws as there are photographs (sampling)."""
    batch: int = 16
    """Photographs in one forward pass."""
    accumulate: int = 1
    """Passes whose gradients are added up before a step."""
    rebalance_epochs: int = 0
    """Epochs added at the end with `cut_weights = "sqrt"` whatever the loss says (RetinaScan: 1 or 2)."""
    rebalance_rate: float = 0.1
    """Share of the peak rate in those epochs."""
    snapshots: int = 0
    """Weights after each of the last so many epochs are kept beside the last ones, to be averaged; 0: none."""
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
    compare_modes: bool = False
    """Afterwards grade the held-out photographs in RetinaScan's seven ways and write `modes.csv`."""
    workers: int = 0
    """Loader processes; 0: in the training process."""
    threads: int = 0
    """CPU threads of torch; 0: all."""
    final: bool = False
    """After the folds: also fit on all training rows."""
    export: bool = False
    """After all: write a release, with temperature and thresholds from the out-of-fold predictions, or from those
    of the validation rows where there are no folds."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            "fit",
            {
                "epochs": at_least(1, 100_000),
                "batch": at_least(1),
                "accumulate": at_least(1),
                "rebalance_epochs": at_least(0, 100_000),
                "rebalance_rate": Bounds(0, 1000, low_open=True),
                "snapshots": at_least(0),
                "clip": NOT_NEGATIVE,
                "ema": BELOW_ONE,
                "validate_every": at_least(1),
                "patience": at_least(0),
                "checkpoint_steps": at_least(1),
                "workers": at_least(0, 1024),
                "threads": at_least(0, 4096),
            },
        )
        starts = [start for start, _ in self.sides]
        if starts != sorted(set(starts)) or any(
            not 0 <= start <= 1 or not 16 <= side <= 4096 for start, side in self.sides
        ):
            raise BadExperiment(
                "fit.sides: expected pairs of a rising share of the epochs from 0 to 1 and a side from 16 to 4096, got "
                f"{self.sides}. Change fit.sides"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the exported release says of itself, and the operating point it is given."""

    id: str = "local"
    """Name of the release, which every prediction of it carries."""
    version: str = "1"
    """Version of the release, any text; it stands beside the name."""
    licence: str = ""
    """Licence of the release; empty: what the training data and the starting weights allow. It may be narrower than
    that, never wider."""
    sensitivity: float = 0.9
    """Out-of-fold sensitivity for referable retinopathy that the referral threshold is set to."""
    cuts: Literal["kappa", "rounded", "median"] = "kappa"
    """The grade answered: the expected one by cuts fitted for quadratic kappa, or rounded; or the median."""
    score: Literal["cut", "mean"] = "cut"
    """What the probability of referable disease is read from: the cut between grades 1 and 2, or the mean of all four
    cut logits (heads coral and cumulative only)."""
    neighbours: int = 0
    """Grade by so many nearest training photographs instead of by the head; 0: by the head. RetinaScan: 10."""
    neighbour_metric: Literal["euclidean", "cosine"] = "euclidean"
    """Distance between features."""
    neighbour_weights: Literal["uniform", "distance"] = "uniform"
    """One vote each, or a vote of 1 / distance."""
    heatmap: str = "auto"
    """How it shows what moved an answer: a name in `traced.TRACEABLE`, or none. auto: Grad-CAM of the last map, of a
    vision transformer GradRollout, none where neither can be exported."""
    heatmap_layers: tuple[str, ...] = ()
    """Modules of the backbone that a class activation map is taken of; empty: the last that keeps places."""
    descriptions: tuple[str, ...] = ()
    """Clinical description of each grade, shown beside a grade in the report; empty: none."""
    card: str = ""
    """Path of a model card in Markdown; empty: one is written from the facts of the run."""

    def __post_init__(self) -> None:
        if len(self.descriptions) not in (0, GRADES):
            raise BadExperiment(
                f"release.descriptions: expected a text for each of {GRADES} grades, or none, got "
                f"{len(self.descriptions)}. Describe each grade once"
            )
        if self.neighbours < 0:
            raise BadExperiment(f"release.neighbours: expected 0 or more, got {self.neighbours}. Change it")
        check_bounds(self, "release", {"sensitivity": Bounds(0, 1, low_open=True), "neighbours": at_least(0)})
        for key in ("id", "version"):
            check_name(getattr(self, key), f"release.{key}")
        check_path(self.card, "release.card")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """GDRNet's second term: features of a photograph and of its second view under FundusAug are drawn together.

    The loss of an epoch is a weight C + (1 - a) S with a = 1 - epoch / epochs, C the contrastive and S all other
    losses, which are then those of the second view.
    """

    weight: float = 0.0
    """Weight of the contrastive loss in the first epoch, falling to 0 in the last; GDRNet 0.25. 0: off."""
    temperature: float = 0.1
    """Divides the cosines; GDRNet 0.1 with several sources, 0.01 with one."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.temperature <= 0:
            raise BadExperiment(
                "contrast.weight, contrast.temperature: expected a number of at least 0 and one above 0, got "
                f"{self.weight:g} and {self.temperature:g}. Change them"
            )
        check_bounds(self, "contrast", {"weight": NOT_NEGATIVE, "temperature": POSITIVE})

    def check(self, augment: Augment) -> None:
        """Refuse augmentations that leave the contrast nothing to work on.

        Raises:
            BadExperiment: If photographs are mixed, or no FundusAug makes a second view of them.
        """
        if not self.weight:
            return
        if augment.mixes:
            raise BadExperiment(
                "contrast.weight: expected augment.mixup and augment.cutmix to be 0, for a mixture is no view of one "
                f"photograph, got {augment.mixup:g} and {augment.cutmix:g}. Choose one of the two"
            )
        if not any((augment.sharpness, augment.halo, augment.hole, augment.spot, augment.blur)):
            raise BadExperiment(
                "contrast.weight: expected one of augment.sharpness, halo, hole, spot and blur above 0, which make a "
                "photograph's second view, got 0 for all. Give them (GDRNet: 0.5 each), or set contrast.weight to 0"
            )
