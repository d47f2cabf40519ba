"""The vocabulary of requests that make a control picture (see presets/fields.py, presets/preprocessors.py)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from presets.fields import SEED_MAXIMUM, extra, real_number, seed_number, whole_number

Name = Literal[
    "none",
    "canny",
    "lineart",
    "softedge",
    "scribble",
    "threshold",
    "invert",
    "tile",
    "blur",
    "shuffle",
    "recolor-luminance",
    "recolor-intensity",
    "softedge-hed",
    "softedge-pidinet",
    "softedge-teed",
    "anyline",
    "scribble-hed",
    "scribble-pidinet",
    "lineart-realistic",
    "lineart-coarse",
    "lineart-anime",
    "mlsd",
    "depth",
    "depth-dpt",
    "depth-midas",
    "depth-zoe",
    "depth-leres",
    "normal-bae",
    "normal-midas",
    "openpose",
    "openpose-hand",
    "openpose-face",
    "openpose-full",
]

PreprocessorName = Annotated[
    Name,
    Field(
        description="What makes the control picture of the given one; none where it is one already.",
        json_schema_extra=extra("E-PREPROCESSOR", "Preprocessor", "basic"),
    ),
]
LowThreshold = Annotated[
    int,
    Field(
        ge=1,
        le=255,
        description="Canny: an edge this strong is drawn where it continues a stronger one.",
        json_schema_extra=extra("E-PREPROCESSOR", "Low threshold", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
HighThreshold = Annotated[
    int,
    Field(
        ge=1,
        le=255,
        description="Canny: an edge this strong is always drawn.",
        json_schema_extra=extra("E-PREPROCESSOR", "High threshold", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
Threshold = Annotated[
    int,
    Field(
        ge=1,
        le=255,
        description="What is this light becomes white, all else black.",
        json_schema_extra=extra("E-PREPROCESSOR", "Threshold", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
ScribbleThreshold = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        description="Scribble: lines this strong are drawn; a smaller number draws more.",
        json_schema_extra=extra("E-PREPROCESSOR", "Line threshold", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
LineWidth = Annotated[
    float,
    Field(
        ge=0.5,
        le=32,
        description="Line art: how wide dark lines may be.",
        json_schema_extra=extra("E-PREPROCESSOR", "Line width", "basic", step=0.5, unit="px"),
    ),
    BeforeValidator(real_number),
]
LineContrast = Annotated[
    int,
    Field(
        ge=0,
        le=64,
        description="Line art: what is this much darker than what is around it counts as a line.",
        json_schema_extra=extra("E-PREPROCESSOR", "Line contrast", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
BlurRadius = Annotated[
    float,
    Field(
        ge=0.5,
        le=64,
        description="So far colours run into each other.",
        json_schema_extra=extra("E-PREPROCESSOR", "Blur radius", "basic", step=0.5, unit="px"),
    ),
    BeforeValidator(real_number),
]
Downscale = Annotated[
    float,
    Field(
        ge=1,
        le=16,
        description="Tile: so many times detail is lost; 1 keeps all of it.",
        json_schema_extra=extra("E-PREPROCESSOR", "Detail lost", "basic", step=0.5),
    ),
    BeforeValidator(real_number),
]
Gamma = Annotated[
    float,
    Field(
        ge=0.1,
        le=2,
        description="Recolour: under 1 makes the grey picture lighter, over 1 darker.",
        json_schema_extra=extra("E-PREPROCESSOR", "Gamma", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
LineScore = Annotated[
    float,
    Field(
        ge=0.01,
        le=2,
        description="Straight lines: how sure the detector must be of a line.",
        json_schema_extra=extra("E-PREPROCESSOR", "Line score", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
LineLength = Annotated[
    float,
    Field(
        ge=0.01,
        le=20,
        description="Straight lines: shorter ones are left out.",
        json_schema_extra=extra("E-PREPROCESSOR", "Line length", "basic", step=0.1),
    ),
    BeforeValidator(real_number),
]
BackgroundDepth = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Normals: what lies farther away than this, 0 being the farthest, is left flat.",
        json_schema_extra=extra("E-PREPROCESSOR", "Background", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
ShuffleSeed = Annotated[
    int,
    Field(
        ge=0,
        le=SEED_MAXIMUM,
        description="Shuffle: another number shuffles otherwise.",
        json_schema_extra=extra("E-SEED", "Shuffle seed", "basic", step=1),
    ),
    BeforeValidator(seed_number),
]
Resolution = Annotated[
    Annotated[int, Field(ge=64, le=2048), BeforeValidator(whole_number)] | None,
    Field(
        description="The shorter side of the control picture. Empty means the size of the picture it is for.",
        json_schema_extra=extra("E-SIZE", "Resolution", "advanced", step=1, unit="px"),
    ),
]
