"""The request that makes a picture larger, and has it drawn on there and its faces restored if it is asked to."""

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from presets import face_fields, fields, redraw_fields, upscale_fields
from presets.drawing import Redrawing
from presets.errors import renamed_field
from presets.face_fields import FACES_SIDE
from presets.request import FromPicture
from presets.upscale_fields import RESULT_PIXELS, RESULT_SIDE

if TYPE_CHECKING:
    from presets.installed import Installed


class Tile(Redrawing):
    """What is asked for each tile that is drawn anew."""

    kind: Literal["image-to-image"] = "image-to-image"


class Upscale(FromPicture):
    """Make a picture larger, by a model or plainly, and draw it anew there, tile by tile, if a strength is given; then
    restore its faces, if a model is named."""

    title: ClassVar[str] = "Upscale"
    takes_several: ClassVar[bool] = True

    kind: Literal["upscale"] = "upscale"
    upscaler: upscale_fields.UpscalerName = ""
    factor: upscale_fields.Factor = 2.0
    tile: upscale_fields.Tile = 512
    overlap: upscale_fields.Overlap = 32
    redraw_strength: redraw_fields.RedrawStrength = 0.0
    prompt: fields.Prompt = ""
    negative_prompt: fields.NegativePrompt = ""
    checkpoint: fields.CheckpointName = ""
    steps: fields.Steps = 20
    guidance_scale: fields.GuidanceScale = 4.0
    sampler: fields.SamplerName = "DPM++ 2M"
    schedule: fields.ScheduleName = "automatic"
    seed: fields.Seed = fields.RANDOM_SEED
    clip_skip: fields.ClipSkip = 1
    vae: fields.VaeName = ""
    redraw_tile: redraw_fields.RedrawTile = None
    redraw_overlap: redraw_fields.RedrawOverlap = 0.25
    keep_colours: redraw_fields.KeepColours = True
    tile_control: redraw_fields.TileControl = ""
    tile_control_weight: redraw_fields.TileControlWeight = 1.0
    face_restorer: face_fields.FaceRestorerName = ""
    face_strength: face_fields.FaceStrength = 1.0

    @model_validator(mode="after")
    def _tiles_go_on(self) -> "Upscale":
        if self.overlap * 2 > self.tile:
            raise PydanticCustomError(
                "tiles_go_on",
                "An overlap of {overlap} pixels is over half a tile of {tile}; at most {most} is possible.",
                {"field": "overlap", "overlap": self.overlap, "tile": self.tile, "most": self.tile // 2},
            )
        return self

    @model_validator(mode="after")
    def _result_is_not_too_large(self) -> "Upscale":
        width, height = self.picture_size
        if width * height > RESULT_PIXELS or max(width, height) > RESULT_SIDE:
            raise PydanticCustomError(
                "result_is_not_too_large",
                "{factor} times as large the picture would have {size} pixels; at most {pixels} Mpx and no side over "
                "{side} are possible, a factor of {most}.",
                {
                    "field": "factor",
                    "factor": f"{self.factor:g}",
                    "size": f"{width} × {height}",
                    "pixels": f"{RESULT_PIXELS / 1e6:.1f}",
                    "side": f"{RESULT_SIDE:,}",
                    "most": f"{self._largest_factor():g}",
                },
            )
        return self

    def _largest_factor(self) -> float:
        """Rounded down to two places."""
        width, height = self.image.size
        most = min((RESULT_PIXELS / (width * height)) ** 0.5, RESULT_SIDE / max(width, height))
        return int(most * 100) / 100

    @model_validator(mode="after")
    def _tiles_can_be_drawn(self) -> "Upscale":
        try:
            self.tile_drawing()
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            told = detail.get("ctx", {})
            field = str(told.get("field"))
            context = {**told, "field": _OF_TILE.get(field, field), "message": detail["msg"]}
            raise PydanticCustomError("tiles_can_be_drawn", "{message}", context) from None
        return self

    @model_validator(mode="after")
    def _faces_can_be_seen(self) -> "Upscale":
        width, height = self.picture_size
        if self.restores_faces and min(width, height) < FACES_SIDE:
            raise PydanticCustomError(
                "faces_can_be_seen",
                "No face can be found in a picture of {size} pixels: each side must have at least {least}. Choose a "
                "larger factor, or no face restorer.",
                {"field": "face_restorer", "size": f"{width} × {height}", "least": FACES_SIDE},
            )
        return self

    @property
    def restores_faces(self) -> bool:
        """Whether faces are looked for once all else is done."""
        return bool(self.face_restorer) and self.face_strength > 0

    @property
    def is_redrawn(self) -> bool:
        """Whether a checkpoint draws on what was made larger."""
        return self.redraw_strength > 0

    def tile_drawing(self) -> Tile | None:
        """What is asked for the first of the tiles that are drawn anew; None where none is."""
        if not self.is_redrawn:
            return None
        values = {name: getattr(self, name) for name in _OF_TILES}
        return Tile(**values, strength=self.redraw_strength, width=self.redraw_tile, height=self.redraw_tile)

    def settled(self, installed: "Installed") -> "Upscale":
        names = {"upscaler": installed.upscaler(self.upscaler)}
        if self.face_restorer:
            names["face_restorer"] = installed.face_restorer(self.face_restorer)
        settled = self.model_copy(update=names)
        if not self.is_redrawn:
            return settled
        native = min(installed.checkpoint(self.checkpoint, Tile.model_fields["kind"].default).native_size)
        settled = settled.model_copy(update={"redraw_tile": self.redraw_tile or native})
        with (
            renamed_field("width", "redraw_tile"),
            renamed_field("height", "redraw_tile"),
            renamed_field("loras", "prompt"),
        ):
            tile = cast("Tile", settled.tile_drawing()).settled(installed)
        values = {name: getattr(tile, name) for name in _OF_TILES}
        if self.tile_control:
            with renamed_field("units", "tile_control"):
                values |= {"tile_control": installed.controls([self.tile_control], tile.checkpoint)[self.tile_control]}
        return settled.model_copy(update=values)

    @property
    def redraw_common(self) -> int:
        """Pixels that the drawn tiles of this (settled) request have in common at least."""
        return min(round((self.redraw_tile or 0) * self.redraw_overlap), (self.redraw_tile or 0) // 2)

    @property
    def checkpoint_used(self) -> str:
        return self.checkpoint if self.is_redrawn else ""

    @property
    def work(self) -> float:
        if not self.is_redrawn:
            return super().work
        return super().work * (1 + self.steps * self.redraw_strength / (1 - self.redraw_overlap) ** 2)

    @property
    def warnings(self) -> tuple[str, ...]:
        own, tile = super().warnings, self.tile_drawing()
        return (*own, *(warning for warning in (tile.warnings if tile else ()) if warning not in own))

    @property
    def picture_size(self) -> tuple[int, int]:
        return round(self.image.width * self.factor), round(self.image.height * self.factor)

    @property
    def searched(self) -> tuple[str, ...]:
        tile = self.tile_drawing()
        return (self.title, self.upscaler, self.face_restorer, *(tile.searched if tile else ()))

    @property
    def without_effect(self) -> frozenset[str]:
        idle = set() if self.face_restorer else {"face_strength"}
        if not self.is_redrawn:
            return frozenset({*idle, *_OF_TILES, *_REDRAWN}) - {"image"}
        return frozenset(idle if self.tile_control else {*idle, "tile_control_weight"})


_OF_TILES = (
    "image", "prompt", "negative_prompt", "checkpoint", "steps", "guidance_scale", "sampler", "schedule",
    "seed", "clip_skip", "vae",
)  # fmt: skip
"""What each drawn tile is told as it stands."""
_OF_TILE = {"strength": "redraw_strength", "loras": "prompt"}
"""What is wrong with a field of a tile's drawing is so with one here."""
_REDRAWN = ("redraw_tile", "redraw_overlap", "keep_colours", "tile_control", "tile_control_weight")
