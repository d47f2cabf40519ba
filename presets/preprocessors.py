"""What makes control pictures: the table of preprocessors, and the settings that one is asked for with.

A control picture shows what a ControlNet is to follow: edges, depth, a pose. Preprocessors without weights are plain
filters; the others need files that lie in `models/annotators` or come from the Hugging Face Hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from presets import preprocess_fields as fields
from presets.images import PIXEL_LIMIT, SIDE_LIMIT

DETECTOR_PIXELS = 2048 * 2048
"""That a detector looks at, at most: it holds some hundred numbers for each."""
ANNOTATORS = "lllyasviel/Annotators"
FOLDER = "annotators"
"""Under each folder of models."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a detector loads: `files` of the Hub's `repository`. Here they lie among the annotators under their own
    names, or where `architecture` is named in a folder whose config.json names it, too."""

    repository: str
    files: tuple[str, ...]
    architecture: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked for among the annotators: names of files, or that of a folder."""
        return tuple(file.rsplit("/", 1)[-1] for file in ((self.repository,) if self.architecture else self.files))


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """A row of the table. `parameters` are those fields of `PreprocessSettings` that matter to it."""

    title: str
    help: str
    parameters: tuple[str, ...] = ()
    weights: Weights | None = None


def _annotators(*files: str) -> Weights:
    return Weights(ANNOTATORS, files)


def _depth(repository: str, architecture: str) -> Weights:
    return Weights(repository, ("config.json", "preprocessor_config.json", "model.safetensors"), architecture)


_POSE = "body_pose_model.pth"
_HAND = "hand_pose_model.pth"
_FACE = "facenet.pth"
_NOT_SOLD = "The detector's licence is for non-commercial use only."

PREPROCESSORS: Mapping[fields.Name, Preprocessor] = MappingProxyType(
    {
        "none": Preprocessor("None", "The picture is a control picture already."),
        "canny": Preprocessor("Canny edges", "Thin white outlines.", ("low_threshold", "high_threshold")),
        "lineart": Preprocessor(
            "Line art (plain)", "The dark lines of a drawing, white on black.", ("line_width", "line_contrast")
        ),
        "softedge": Preprocessor("Soft edge (plain)", "Broad outlines, the brighter the stronger they are."),
        "scribble": Preprocessor("Scribble (plain)", "Rough strokes, as if drawn by hand.", ("scribble_threshold",)),
        "threshold": Preprocessor("Threshold", "White where it is light, black elsewhere.", ("threshold",)),
        "invert": Preprocessor("Invert", "For dark lines on white paper: white lines on black.", ()),
        "tile": Preprocessor("Tile", "The picture with less detail, to be drawn anew in detail.", ("downscale",)),
        "blur": Preprocessor("Blur", "The picture out of focus.", ("blur_radius",)),
        "shuffle": Preprocessor("Shuffle", "Its colours in other places, to take over a mood.", ("shuffle_seed",)),
        "recolor-luminance": Preprocessor("Recolour (luminance)", "How light it seems, to be coloured.", ("gamma",)),
        "recolor-intensity": Preprocessor("Recolour (intensity)", "Its brightest channel, to be coloured.", ("gamma",)),
        "softedge-hed": Preprocessor(
            "Soft edge (HED)", "Outlines as people draw them.", weights=_annotators("ControlNetHED.pth")
        ),
        "softedge-pidinet": Preprocessor(
            "Soft edge (PiDiNet)", "Outlines with fewer details.", weights=_annotators("table5_pidinet.pth")
        ),
        "softedge-teed": Preprocessor(
            "Soft edge (TEED)", "Fine outlines, quickly found.", weights=Weights("fal-ai/teed", ("5_model.pth",))
        ),
        "anyline": Preprocessor(
            "Anyline",
            "Outlines and fine lines together.",
            weights=Weights("TheMistoAI/MistoLine", ("Anyline/MTEED.pth",)),
        ),
        "scribble-hed": Preprocessor(
            "Scribble (HED)", "Outlines as broad strokes.", weights=_annotators("ControlNetHED.pth")
        ),
        "scribble-pidinet": Preprocessor(
            "Scribble (PiDiNet)", "Few outlines as broad strokes.", weights=_annotators("table5_pidinet.pth")
        ),
        "lineart-realistic": Preprocessor(
            "Line art (realistic)", "A pencil drawing of a photograph.", weights=_annotators("sk_model.pth")
        ),
        "lineart-coarse": Preprocessor(
            "Line art (coarse)", "A rough drawing of a photograph.", weights=_annotators("sk_model2.pth")
        ),
        "lineart-anime": Preprocessor("Line art (anime)", "The lines of a cartoon.", weights=_annotators("netG.pth")),
        "mlsd": Preprocessor(
            "Straight lines (M-LSD)",
            "The straight lines of rooms and buildings.",
            ("line_score", "line_length"),
            _annotators("mlsd_large_512_fp32.pth"),
        ),
        "depth": Preprocessor(
            "Depth (Depth Anything)",
            "Near is white, far is black.",
            weights=_depth("depth-anything/Depth-Anything-V2-Small-hf", "DepthAnythingForDepthEstimation"),
        ),
        "depth-dpt": Preprocessor(
            "Depth (DPT)",
            "Near is white, far is black.",
            weights=_depth("Intel/dpt-hybrid-midas", "DPTForDepthEstimation"),
        ),
        "depth-midas": Preprocessor(
            "Depth (MiDaS)", "Near is white, far is black.", weights=_annotators("dpt_hybrid-midas-501f0c75.pt")
        ),
        "depth-zoe": Preprocessor(
            "Depth (ZoeDepth)", "Near is white, far is black.", weights=_annotators("ZoeD_M12_N.pt")
        ),
        "depth-leres": Preprocessor("Depth (LeReS)", "Near is white, far is black.", weights=_annotators("res101.pth")),
        "normal-bae": Preprocessor("Normals (BAE)", "Which way each surface faces.", weights=_annotators("scannet.pt")),
        "normal-midas": Preprocessor(
            "Normals (MiDaS)",
            "Which way each surface faces, the background left flat.",
            ("background_depth",),
            _annotators("dpt_hybrid-midas-501f0c75.pt"),
        ),
        "openpose": Preprocessor("Pose", f"How people stand. {_NOT_SOLD}", weights=_annotators(_POSE)),
        "openpose-hand": Preprocessor(
            "Pose with hands", f"How people stand and hold their hands. {_NOT_SOLD}", weights=_annotators(_POSE, _HAND)
        ),
        "openpose-face": Preprocessor(
            "Pose with faces", f"How people stand and look. {_NOT_SOLD}", weights=_annotators(_POSE, _FACE)
        ),
        "openpose-full": Preprocessor(
            "Pose with hands and faces",
            f"How people stand, look and hold their hands. {_NOT_SOLD}",
            weights=_annotators(_POSE, _HAND, _FACE),
        ),
    }
)
"""By name, in the order in which they are offered."""


class PreprocessSettings(BaseModel):
    """Which preprocessor, and its parameters. Those that it does not have (`Preprocessor.parameters`) say nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessor: fields.PreprocessorName = "none"
    low_threshold: fields.LowThreshold = 100
    high_threshold: fields.HighThreshold = 200
    threshold: fields.Threshold = 128
    scribble_threshold: fields.ScribbleThreshold = 32
    line_width: fields.LineWidth = 6.0
    line_contrast: fields.LineContrast = 8
    blur_radius: fields.BlurRadius = 9.0
    downscale: fields.Downscale = 4.0
    gamma: fields.Gamma = 1.0
    line_score: fields.LineScore = 0.1
    line_length: fields.LineLength = 0.1
    background_depth: fields.BackgroundDepth = 0.4
    shuffle_seed: fields.ShuffleSeed = 0
    resolution: fields.Resolution = None

    @model_validator(mode="after")
    def _thresholds_are_in_order(self) -> "PreprocessSettings":
        if self.preprocessor == "canny" and self.low_threshold >= self.high_threshold:
            raise PydanticCustomError(
                "thresholds_are_in_order",
                "The low threshold is {low} and the high threshold {high}: the low one must be the smaller.",
                {
                    "field": "low_threshold",
                    "code": "E-PREPROCESSOR",
                    "low": self.low_threshold,
                    "high": self.high_threshold,
                },
            )
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of those parameters that matter to the preprocessor."""
        return {name: getattr(self, name) for name in PREPROCESSORS[self.preprocessor].parameters}

    def size_for(self, given: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) of the control picture of a picture of that size."""
        if self.resolution is None:
            return given
        scale = self.resolution / min(given)
        return max(1, round(given[0] * scale)), max(1, round(given[1] * scale))

    def check_size_for(self, given: tuple[int, int]) -> None:
        """Raise, as validators do, if the control picture of a picture of that size would be too large."""
        width, height = self.size_for(given)
        preprocessor = PREPROCESSORS[self.preprocessor]
        limit = DETECTOR_PIXELS if preprocessor.weights else PIXEL_LIMIT
        if width * height > limit or max(width, height) > SIDE_LIMIT:
            raise PydanticCustomError(
                "is_not_too_large",
                "The control picture would be {size} pixels; {title} makes up to {pixels} Mpx, {side} a side. Choose a "
                "smaller resolution.",
                {
                    "field": "resolution",
                    "size": f"{width} × {height}",
                    "title": preprocessor.title,
                    "pixels": f"{limit / 1e6:.1f}",
                    "side": f"{SIDE_LIMIT:,}",
                },
            )


PARAMETERS = tuple(name for name in PreprocessSettings.model_fields if name not in ("preprocessor", "resolution"))
"""All parameters that any preprocessor has, in the order in which they are offered."""
