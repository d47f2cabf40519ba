"""The request that makes a picture larger."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from presets import upscale_fields
from presets.request import FromPicture
from presets.upscale_fields import RESULT_PIXELS, RESULT_SIDE

if TYPE_CHECKING:
    from presets.installed import Installed


class Upscale(FromPicture):
    """Make a picture larger, by a model or plainly."""

    title: ClassVar[str] = "Upscale"
    takes_several: ClassVar[bool] = True

    kind: Literal["upscale"] = "upscale"
    upscaler: upscale_fields.UpscalerName = ""
    factor: upscale_fields.Factor = 2.0
    tile: upscale_fields.Tile = 512
    overlap: upscale_fields.Overlap = 32

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

    def settled(self, installed: "Installed") -> "Upscale":
        return self.model_copy(update={"upscaler": installed.upscaler(self.upscaler)})

    @property
    def picture_size(self) -> tuple[int, int]:
        return round(self.image.width * self.factor), round(self.image.height * self.factor)

    @property
    def searched(self) -> tuple[str, ...]:
        return self.title, self.upscaler
