"""Requests: what is wanted, one frozen model per kind of job.

A request is at once the form, the preset, the API body, the command line and the picture's metadata. Values are
checked when it is made (`presets/checks.py`). `resolved()` then leaves nothing to chance, and only a resolved request
is run and saved.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from presets import picture_fields, sizes
from presets.control_picture import ControlPicture
from presets.controlnet import ControlNet, ControlUnits, Following
from presets.drawing import Drawing, Redrawing
from presets.errors import InvalidField
from presets.image_to_image import ImageToImage
from presets.images import PIXEL_LIMIT, SIDE_LIMIT
from presets.text_to_image import TextToImage
from presets.upscale import Upscale

if TYPE_CHECKING:
    from presets.inputs import Inputs
    from presets.installed import Installed


class Inpaint(Redrawing, Following):
    """Redraw what is masked in a picture, or draw on beyond its sides; all else stays to the pixel."""

    title: ClassVar[str] = "Inpaint"

    kind: Literal["inpaint"] = "inpaint"
    mask: picture_fields.Mask = None
    invert_mask: picture_fields.MaskInvert = False
    soft_mask: picture_fields.MaskSoft = False
    grow_mask: picture_fields.MaskGrow = 4
    feather_mask: picture_fields.MaskBlur = 4
    area: picture_fields.Area = "whole"
    padding: picture_fields.Padding = 32
    content: picture_fields.Content = "original"
    strength: picture_fields.Strength = 1.0
    extend_left: picture_fields.ExtendLeft = 0
    extend_right: picture_fields.ExtendRight = 0
    extend_top: picture_fields.ExtendTop = 0
    extend_bottom: picture_fields.ExtendBottom = 0
    units: ControlUnits = ()

    @model_validator(mode="after")
    def _mask_fits(self) -> "Inpaint":
        if self.mask is None:
            if self.invert_mask or not any(self.extensions):
                raise PydanticCustomError(
                    "mask_fits", "A mask is missing: paint what is to be redrawn, or extend a side.", _MASK
                )
        elif not sizes.alike(self.mask.size, self.image.size):
            raise PydanticCustomError(
                "mask_fits",
                "The mask is {mask} pixels and the picture {picture}: they must have the same shape.",
                _MASK | {"code": "E-MASK-SIZE", "mask": _times(self.mask.size), "picture": _times(self.image.size)},
            )
        return self

    @model_validator(mode="after")
    def _frame_is_small_enough(self) -> "Inpaint":
        width, height = self.picture_size
        if width * height > PIXEL_LIMIT or max(width, height) > SIDE_LIMIT:
            raise PydanticCustomError(
                "frame_is_small_enough",
                "Extended, the picture would be {size} pixels; the limit is {pixels} Mpx and {side} a side.",
                {
                    "field": "extend_left",
                    "code": "E-SIZE",
                    "size": _times((width, height)),
                    "pixels": f"{PIXEL_LIMIT / 1e6:.1f}",
                    "side": SIDE_LIMIT,
                },
            )
        return self

    @property
    def extensions(self) -> tuple[int, int, int, int]:
        """Pixels more at the left, top, right and bottom."""
        return self.extend_left, self.extend_top, self.extend_right, self.extend_bottom

    @property
    def picture_size(self) -> tuple[int, int]:
        left, top, right, bottom = self.extensions
        return self.image.width + left + right, self.image.height + top + bottom

    @property
    def warnings(self) -> tuple[str, ...]:
        own = []
        if self.mask is not None and self.mask.size != self.image.size:
            own.append(f"The mask was brought from {_times(self.mask.size)} to {_times(self.image.size)} pixels.")
        return (*super().warnings, *own)

    def examined(self, inputs: "Inputs") -> "Inpaint":
        """Raises `InvalidField` for a mask under which nothing is redrawn, and tells of one that spares nothing."""
        examined = super().examined(inputs)
        if self.mask is None:
            return examined
        seen = inputs.levels(self.mask) if self.soft_mask else inputs.painted(self.mask)
        colours = {value for _, value in seen.getcolors() or ()}
        masked = {255 - value if self.invert_mask else value for value in colours if isinstance(value, int)}
        if masked == {0} and not any(self.extensions):
            what = "covers all and is inverted" if self.invert_mask else "is empty"
            raise InvalidField(
                "mask", f"The mask {what}: nothing would be redrawn. Paint what is to change.", code="E-MASK-EMPTY"
            )
        if masked == {255}:
            examined._told = (*examined._told, "The mask spares nothing: the whole picture is redrawn.")
        return examined

    def settled(self, installed: "Installed") -> "Inpaint":
        settled = super().settled(installed)
        if self.soft_mask:
            installed.check_soft_mask(settled.checkpoint)
        return settled

    @property
    def _given_size(self) -> tuple[int, int] | None:
        return self.picture_size if self.area == "whole" else None


_MASK = {"field": "mask", "code": "E-MASK"}


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


AnyDrawing = TextToImage | ImageToImage | Inpaint | ControlNet
"""All kinds that draw with a checkpoint."""

AnyRequest = Annotated[AnyDrawing | ControlPicture | Upscale, Field(discriminator="kind")]
"""The union of all kinds, told apart by `kind`."""

KINDS: dict[str, type[AnyRequest]] = {
    "text-to-image": TextToImage,
    "image-to-image": ImageToImage,
    "inpaint": Inpaint,
    "controlnet": ControlNet,
    "control-picture": ControlPicture,
    "upscale": Upscale,
}


def drawing_of(request: AnyRequest) -> Drawing | None:
    """What a checkpoint is asked to draw for `request`; None where none is."""
    if isinstance(request, Upscale):
        return request.tile_drawing()
    return request if isinstance(request, Drawing) else None
