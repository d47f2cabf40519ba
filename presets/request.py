"""The base of all requests (presets/requests.py): one frozen model, checked when it is made."""

from abc import abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from presets import fields, picture_fields
from presets.images import ImageRef
from presets.parts import parts_with_pictures

if TYPE_CHECKING:
    from presets.inputs import Inputs
    from presets.installed import Installed

RequestType = TypeVar("RequestType", bound="Request")


class Request(BaseModel):
    """Base of all kinds. `kind` is the stem that names its tab, endpoint, command and presets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: ClassVar[str]
    takes_several: ClassVar[bool] = False
    """Whether it may be asked for with several pictures at once, each in the place of its `image`."""
    kind: str

    _told: tuple[str, ...] = ()
    """What `resolved` decided otherwise than the person may think."""
    _cleaned: tuple[str, ...] = ()
    """Fields that control characters were removed from. Not written down with the request: the text then is clean."""

    @model_validator(mode="wrap")
    @classmethod
    def _note_what_is_cleaned(
        cls: type[RequestType], values: Any, build: ModelWrapValidatorHandler[RequestType]
    ) -> RequestType:
        request = build(values)
        if isinstance(values, dict):
            request._cleaned = tuple(
                name for name in cls.model_fields if fields.is_cleaned(values.get(name), getattr(request, name))
            )
        return request

    def __eq__(self, other: object) -> bool:
        """Equal are requests that want the same, whatever was removed on the way."""
        return isinstance(other, type(self)) and self.__dict__ == other.__dict__

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is done otherwise than the person may think. Never an error.

        Those about characters that were removed, and about files that pictures came in, are known only to the request
        that was given them and its copies.
        """
        cleaned = (f"Control characters were removed from the {name.replace('_', ' ')}." for name in self._cleaned)
        notes = (note for field, picture in self.pictures.items() if field != "mask" for note in picture.notes)
        return (*cleaned, *notes, *self._told)

    def examined(self: RequestType, inputs: "Inputs") -> RequestType:
        """This request after a look at the pictures it names. Raises `InvalidField` if one is missing or of no use."""
        for place, picture in self.pictures.items():
            inputs.check(picture, place.partition(".")[0])
        return self.model_copy()

    def settled(self: RequestType, installed: "Installed") -> RequestType:  # noqa: ARG002 - others ask it
        """This request with nothing left to chance, and its names as they are `installed`. Raises `UserError`."""
        return self

    @property
    def checkpoint_used(self) -> str:
        """The name of the checkpoint that it takes; empty where it takes none."""
        return ""

    @property
    def picture_count(self) -> int:
        """How many pictures it makes."""
        return 1

    def picture(self: RequestType, index: int) -> RequestType:  # noqa: ARG002 - others make several
        """The request that makes picture `index` of this (settled) one alone."""
        return self

    @property
    @abstractmethod
    def picture_size(self) -> tuple[int, int]:
        """(width, height) of the pictures that this (settled) request makes."""

    @property
    def canvas(self) -> tuple[int, int]:
        """(width, height) of what is drawn on, whose shape previews have."""
        return self.picture_size

    @property
    def work(self) -> float:
        """What this (settled) request costs, in pixels x steps: jobs of one kind and checkpoint take a like time for as
        much of it."""
        width, height = self.canvas
        return max(1.0, self.picture_count * width * height)

    @property
    def batch_key(self) -> Hashable | None:
        """Of (settled) requests whose pictures can be drawn at once it is the same; None where each is drawn alone."""
        return None

    @property
    def caption(self) -> str:
        """What its pictures show, in words."""
        return self.title

    @property
    def searched(self) -> tuple[str, ...]:
        """The texts that its pictures are found by."""
        return (self.title,)

    @property
    def without_effect(self) -> frozenset[str]:
        """Fields that say nothing beside the others as they are."""
        return frozenset()

    @property
    def file_mark(self) -> str:
        """What the names of its pictures' files end with: digits, or small letters and hyphens."""
        return self.kind

    @property
    def pictures(self) -> dict[str, ImageRef]:
        """The pictures that it is given, by field; those of parts by field and number ("units.0")."""
        own = {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), ImageRef)}
        of_parts = {
            f"{name}.{number}": part.picture
            for name in parts_with_pictures(type(self))
            for number, part in enumerate(getattr(self, name))
            if part.picture is not None
        }
        return own | of_parts


class FromPicture(Request):
    """What all kinds share that are given a picture."""

    image: picture_fields.Picture

    @property
    def picture_size(self) -> tuple[int, int]:
        return self.image.size
