"""The section [augment]: what may happen to a training photograph, how far, and how often."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fundoscope.errors import BadExperiment

PROBABILITIES = (
    "flip_down", "turn_probability", "colour_probability", "grey", "crop_probability", "side_padding",
    "rand_probability", "erase", "sharpness", "halo", "hole", "spot", "blur", "mix_probability",
    "zoom_probability", "tight", "cut", "crescent", "vignette", "motion", "specks", "dust", "noise", "tone_probability",
    "jpeg",
)  # fmt: skip
REACHES = {
    "turn_degrees": 360.0, "scale": 10.0, "stretch": 10.0, "shift": 1.0, "brightness": 1.0, "contrast": 10.0,
    "saturation": 10.0, "tint": 10.0, "hue_degrees": 180.0, "rand_augment": 15.0, "rand_magnitude": 10.0,
    "rand_magnitude_std": 10.0, "mixup": 100.0, "cutmix": 100.0, "gain": 10.0, "gamma": 10.0,
}  # fmt: skip
"""Largest value of each; the smallest is 0."""

SPANS = {
    "crop_area": (0.01, 2.0), "crop_ratio": (0.1, 10.0), "side_padding_share": (0.0, 1.0), "erase_area": (0.001, 0.99),
    "zoom": (0.2, 5.0), "tight_share": (0.1, 1.0), "tight_shown": (0.1, 1.0), "cut_depth": (0.0, 0.49),
    "crescent_width": (0.0, 0.49), "vignette_strength": (0.0, 1.0), "motion_length": (0.0, 0.2),
    "speck_count": (1.0, 500.0), "speck_radius": (0.0001, 0.1), "speck_depth": (0.0, 1.0), "noise_level": (0.0, 0.5),
    "jpeg_quality": (1.0, 100.0),
}  # fmt: skip
"""Smallest and largest end of each span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Ranges that each training photograph's params is drawn from; `Augment.plain()` has everything off."""

    turn_degrees: float = 180.0
    """Rotation, uniform in plus or minus this."""
    turn_probability: float = 1.0
    """Share of the photographs that are turned."""
    flip: bool = True
    """Mirror left to right in half of the draws. Retinas mirror into the other eye, grades stay."""
    flip_down: float = 0.0
    """Probability of mirroring top to bottom."""
    scale: float = 0.1
    """Zoom, log-uniform between 1/(1+scale) and 1+scale."""
    stretch: float = 0.0
    """Widening against the height, log-uniform likewise: width times f, height divided by f."""
    shift: float = 0.04
    """Shift along each axis, uniform, as a share of the side."""
    crop_area: tuple[float, float] = (1.0, 1.0)
    """Random resized crop: share of the picture's area that is kept, uniform. (1, 1) with ratio (1, 1): off."""
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    """Width against height of that crop, log-uniform."""
    crop_probability: float = 1.0
    """Share of the photographs that are cropped so."""
    side_padding: float = 0.0
    """Probability of black bars left and right, as where nobody cropped to the field (RETFound-Green: 0.1)."""
    side_padding_share: tuple[float, float] = (33 / 1024, 150 / 1024)
    """Width of each bar, uniform, as a share of the side; the default is 33 to 150 of 1024 px."""
    brightness: float = 0.15
    """Added to every channel, uniform in plus or minus this share of full range."""
    contrast: float = 0.2
    """Contrast factor, log-uniform between 1/(1+contrast) and 1+contrast."""
    saturation: float = 0.2
    """Saturation factor, log-uniform likewise."""
    tint: float = 0.05
    """Gain of each channel, log-uniform likewise and drawn apart for red, green and blue."""
    hue_degrees: float = 0.0
    """Turn of all colours about the grey axis, uniform in plus or minus this."""
    colour_probability: float = 1.0
    """Share of the photographs whose brightness, contrast, saturation, tint and hue change."""
    grey: float = 0.0
    """Probability of a grey picture (luma in all channels)."""
    rand_augment: int = 0
    """Operations of RandAugment on each photograph; 0: off. RETFound's rand-m9-mstd0.5-inc1 has 2."""
    rand_magnitude: float = 9.0
    """Mean magnitude of those operations, 0 to 10."""
    rand_magnitude_std: float = 0.5
    """Standard deviation of the magnitude, which is cut to 0 to 10."""
    rand_probability: float = 0.5
    """Probability that a chosen operation is carried out."""
    sharpness: float = 0.0
    """FundusAug: probability of sharpening or softening by a factor from 0 to 2."""
    halo: float = 0.0
    """FundusAug: probability of a bright ring from stray light."""
    hole: float = 0.0
    """FundusAug: probability of a dark cloud in the middle, as with a small pupil."""
    spot: float = 0.0
    """FundusAug: probability of 5 to 10 bright spots, as from dust on the lens."""
    blur: float = 0.0
    """FundusAug: probability of defocus, standard deviation 0.1 to 3 px on a side of 256."""
    erase: float = 0.0
    """Probability of random erasing: a box of noise (RETFound: 0.25)."""
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    """Share of the picture that is erased, uniform."""
    mixup: float = 0.0
    """MixUp: alpha of the Beta distribution of a photograph's own share; 0: off."""
    cutmix: float = 0.0
    """CutMix: alpha likewise; 0: off. With both on, half of the mixed photographs get either."""
    mix_probability: float = 1.0
    """Share of the photographs that are mixed with another one."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Magnification, uniform, on top of `scale`: another angle of view, black outside the circle of the canvas."""
    zoom_probability: float = 1.0
    """Share of the photographs that are magnified so."""
    tight: float = 0.0
    """Probability of a square cut out of the field, as by who crops photographs until no surround is seen."""
    tight_share: tuple[float, float] = (0.5, 0.7)
    """Side of that square, uniform, as a share of the canvas's."""
    tight_shown: tuple[float, float] = (0.70, 1.0)
    """Side that it is shown at, uniform, as a share of the canvas's: 0.71 where a recipe puts it into the circle."""
    cut: float = 0.0
    """Probability of a field that the frame cuts straight on one side, two opposite ones or all."""
    cut_depth: tuple[float, float] = (0.02, 0.15)
    """Share of the canvas that is cut off a side, uniform."""
    crescent: float = 0.0
    """Probability of a dark crescent at the rim, as where the pupil's edge covers part of the field."""
    crescent_width: tuple[float, float] = (0.03, 0.2)
    """Widest part of the crescent, uniform, as a share of the side."""
    vignette: float = 0.0
    """Probability of light that falls off towards the edge, from a centre near the middle."""
    vignette_strength: tuple[float, float] = (0.2, 0.8)
    """Share of the light that is lost at the edge, uniform."""
    motion: float = 0.0
    """Probability of blur along a straight path in any direction."""
    motion_length: tuple[float, float] = (0.004, 0.02)
    """Length of the path, uniform, as a share of the side."""
    specks: float = 0.0
    """Probability of the fixed dust of one of the run's virtual cameras: the same whenever that camera is drawn."""
    speck_cameras: int = 64
    """Virtual cameras of a run."""
    dust: float = 0.0
    """Probability of dust that is drawn for this photograph alone."""
    speck_count: tuple[float, float] = (4.0, 40.0)
    """Number of specks of a camera or of free dust, log-uniform."""
    speck_radius: tuple[float, float] = (0.001, 0.006)
    """Radius at which a speck's effect is half, log-uniform, as a share of the side. Some are larger and fainter."""
    speck_depth: tuple[float, float] = (0.05, 0.4)
    """Share of the light that is lost in the middle of a speck, uniform. Some specks are brighter instead."""
    noise: float = 0.0
    """Probability of a sensor's noise."""
    noise_level: tuple[float, float] = (0.01, 0.06)
    """Standard deviation of shot noise at full light, uniform, as a share of full range; read noise has up to half."""
    gain: float = 0.0
    """White balance: gain of each channel, log-uniform between 1/(1+gain) and 1+gain, drawn apart."""
    gamma: float = 0.0
    """Exponent on the light, log-uniform between 1/(1+gamma) and 1+gamma."""
    tone_probability: float = 1.0
    """Share of the photographs whose gains and gamma change."""
    jpeg: float = 0.0
    """Probability of compression as a JPEG."""
    jpeg_quality: tuple[float, float] = (30.0, 90.0)
    """Quality of that JPEG, uniform."""

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            self._expect(name, 0.0, 1.0)
        for name, largest in REACHES.items():
            self._expect(name, 0.0, largest)
        for name, (smallest, largest) in SPANS.items():
            low, high = getattr(self, name)
            if not smallest <= low <= high <= largest:
                raise BadExperiment(
                    f"augment.{name}: expected two numbers from {smallest:g} to {largest:g}, the smaller first, "
                    f"got ({low:g}, {high:g}). Change augment.{name}"
                )
        if not 1 <= self.speck_cameras <= 1_000_000:
            raise BadExperiment(
                f"augment.speck_cameras: expected a whole number from 1 to 1000000, got {self.speck_cameras}. "
                "Change augment.speck_cameras"
            )
        if not self.crop_ratio[0] <= 1 <= self.crop_ratio[1]:
            raise BadExperiment(
                f"augment.crop_ratio: expected a span that holds 1, for a crop that does not fit falls back to the "
                f"whole square, got {self.crop_ratio}. Change augment.crop_ratio"
            )

    def _expect(self, name: str, smallest: float, largest: float) -> None:
        value = getattr(self, name)
        if not smallest <= value <= largest:
            raise BadExperiment(
                f"augment.{name}: expected a number from {smallest:g} to {largest:g}, got {value:g}. "
                f"Change augment.{name}"
            )

    @classmethod
    def plain(cls) -> Augment:
        """Nothing happens to the photographs."""
        return cls(turn_degrees=0.0, flip=False, scale=0.0, shift=0.0, brightness=0.0, contrast=0.0, saturation=0.0,
                   tint=0.0)  # fmt: skip

    @property
    def mixes(self) -> bool:
        """Whether photographs are mixed with one another."""
        return bool((self.mixup or self.cutmix) and self.mix_probability)

    @property
    def crops(self) -> bool:
        """Whether random resized crops are drawn."""
        return bool(self.crop_probability) and (self.crop_area, self.crop_ratio) != ((1.0, 1.0), (1.0, 1.0))

    def enabled(self) -> dict[str, Augment]:
        """Each augmentation that is on, by the name of its key, with all others off."""
        plain = Augment.plain()
        alone = {}
        for name, beside in COMPANIONS.items():
            if getattr(self, name) != getattr(plain, name) and (name != "crop_area" or self.crops):
                values = {key: getattr(self, key) for key in (name, *beside)}
                alone[name] = dataclasses.replace(plain, **values)
        if self.crops and "crop_area" not in alone:
            values = {key: getattr(self, key) for key in ("crop_area", *COMPANIONS["crop_area"])}
            alone["crop_area"] = dataclasses.replace(plain, **values)
        return alone


COMPANIONS: dict[str, tuple[str, ...]] = {
    "turn_degrees": ("turn_probability",),
    "flip": (),
    "flip_down": (),
    "scale": (),
    "stretch": (),
    "shift": (),
    "crop_area": ("crop_ratio", "crop_probability"),
    "side_padding": ("side_padding_share",),
    "brightness": ("colour_probability",),
    "contrast": ("colour_probability",),
    "saturation": ("colour_probability",),
    "tint": ("colour_probability",),
    "hue_degrees": ("colour_probability",),
    "grey": (),
    "rand_augment": ("rand_magnitude", "rand_magnitude_std", "rand_probability"),
    "sharpness": (),
    "halo": (),
    "hole": (),
    "spot": (),
    "blur": (),
    "erase": ("erase_area",),
    "mixup": ("mix_probability",),
    "cutmix": ("mix_probability",),
    "zoom": ("zoom_probability",),
    "tight": ("tight_share", "tight_shown"),
    "cut": ("cut_depth",),
    "crescent": ("crescent_width",),
    "vignette": ("vignette_strength",),
    "motion": ("motion_length",),
    "specks": ("speck_cameras", "speck_count", "speck_radius", "speck_depth"),
    "dust": ("speck_count", "speck_radius", "speck_depth"),
    "noise": ("noise_level",),
    "gain": ("tone_probability",),
    "gamma": ("tone_probability",),
    "jpeg": ("jpeg_quality",),
}
"""The key that turns each augmentation on, and the keys that only say how."""
