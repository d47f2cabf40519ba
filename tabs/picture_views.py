"""The gallery's pictures as JSON, and the bodies that change them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from presets.gallery import Choices
from presets.gallery_files import Picture
from presets.requests import drawing_of

CAPTION_SHOWN = 300
"""Characters of a caption in a list."""
CHANGED_AT_ONCE = 50_000

Identifier = Annotated[str, Field(max_length=200)]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class PictureEntry(_View):
    """A picture in a list. Times in seconds since 1970, sizes in pixels, addresses relative to this server."""

    id: str
    created: float
    width: int
    height: int
    kind: str
    caption: str = Field(description="The beginning of its prompt.")
    seed: int | None = Field(description="Null where it was made without one.")
    starred: bool
    boards: tuple[str, ...]
    deleted: float | None = Field(description="When it was put into the trash.")
    file: str
    url: str
    thumbnail: str


class PictureTold(PictureEntry):
    """A picture with the request that makes it again."""

    request: dict[str, Any]


class PicturePage(_View):
    """`next` is the cursor of the next page, which is empty after the last; `total` is told with the first only."""

    pictures: tuple[PictureEntry, ...]
    next: str
    total: int | None


class PictureChoices(_View):
    """What pictures can be narrowed to, with how many there are of each."""

    checkpoints: dict[str, int]
    loras: dict[str, int]
    boards: dict[str, int]
    deleted: int = Field(description="Pictures in the trash.")
    private: bool = Field(description="Whether these are your own only.")


class Chosen(_View):
    model_config = ConfigDict(frozen=True, extra="forbid")

    identifiers: tuple[Identifier, ...] = Field(max_length=CHANGED_AT_ONCE)


class Star(Chosen):
    starred: bool = True


class OnBoard(Chosen):
    board: str = Field(max_length=1000)
    on: bool = Field(default=True, description="False takes them off.")


class Wanted(_View):
    """For a zip file: pictures by their identifiers, or all that a search finds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identifiers: tuple[Identifier, ...] = Field(default=(), max_length=CHANGED_AT_ONCE)
    search: str | None = None


class Changed(_View):
    changed: int


def entry_of(picture: Picture, base: str) -> PictureEntry:
    """`base` is the path under which the API is mounted."""
    return PictureEntry(**_values(picture, base))


def told_of(picture: Picture, base: str) -> PictureTold:
    return PictureTold(**_values(picture, base), request=picture.request.model_dump(mode="json"))


def choices_of(choices: Choices, *, is_private: bool) -> PictureChoices:
    return PictureChoices(
        checkpoints=choices.checkpoints,
        loras=choices.loras,
        boards=choices.boards,
        deleted=choices.deleted,
        private=is_private,
    )


def _values(picture: Picture, base: str) -> dict[str, Any]:
    url, drawing = f"{base}/pictures/{picture.identifier}", drawing_of(picture.request)
    return {
        "id": picture.identifier,
        "created": picture.created,
        "width": picture.width,
        "height": picture.height,
        "kind": picture.request.kind,
        "caption": picture.request.caption[:CAPTION_SHOWN],
        "seed": drawing.seed if drawing else None,
        "starred": picture.starred,
        "boards": picture.boards,
        "deleted": picture.deleted,
        "file": picture.plain_name,
        "url": f"{url}/file",
        "thumbnail": f"{url}/thumbnail",
    }
