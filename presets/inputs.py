"""Pictures that requests are given: read safely once, then kept and named by what they show.

Whatever comes in (a file of a stranger's) is brought to plain pixels: upright, 8 bits, sRGB, red-green-blue with or
without alpha. The SHA-256 of these pixels is the picture's name, so that the same picture has the same name whichever
file it came in, and a request that names it always means the same numbers. Only these pixels are kept, as PNG; the
file's own metadata is not.
"""

import contextlib
import hashlib
import io
import os
import re
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from presets.errors import InvalidField, reason_of, shortened
from presets.images import (
    FILE_LIMIT,
    FORMATS,
    PIXEL_LIMIT,
    RATIO_LIMIT,
    SIDE_LEAST,
    SIDE_LIMIT,
    ImageMissing,
    ImageRef,
)
from presets.whole_files import written_whole

MOSTLY = 0.5
"""Share of a picture that may be transparent without a word."""
REMEMBERED = 64
"""Files whose pictures need not be read again."""

BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, RuntimeError,
    AssertionError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise for files that are made to break them."""

_UPRIGHT = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}
"""EXIF's orientation -> what undoes it."""

_BEGINNINGS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP|GIF8[79]a|....ftypavi[fs]", re.DOTALL)
_State = tuple[int, int, int]
"""Modification time in ns, size in bytes and inode of a file."""
_PNG_OPTIONS = {"compress_level": 1, "compress_type": zlib.Z_RLE}


class PictureNotKept(InvalidField):
    """The disk refused a picture that is given."""

    code = "E-DISK"

    def __init__(self, field: str, error: OSError):
        super().__init__(field, f"The picture could not be written to the disk: {reason_of(error)}.")


class Inputs:
    """The pictures given so far, under `root` as `<two digits>/<sha256>.png`. Any thread and process may use it."""

    def __init__(self, root: Path):
        self.root = root
        self._remembered: OrderedDict[tuple[Path, _State | None], tuple[ImageRef, _State | None]] = OrderedDict()
        """By what was given: what it was kept as, and the state of the file that was made of it."""

    def add(self, path: Path, field: str = "image") -> ImageRef:
        """Keep the picture in the file `path`, given as the request's `field`. Raises `InvalidField`."""
        if not path.is_file():
            raise InvalidField(field, f"There is no file {shortened(str(path), 150)}.", code="E-IMAGE-MISSING")
        try:
            known = (path, _state(path))
            found, kept = self._remembered.get(known, (None, None))
            if found is None or kept is None or _state(self._path(found)) != kept:
                found = self.keep(*decode(_content(path, field), field), field=field)
                self._remembered[known] = (found, _state(self._path(found)))
                while len(self._remembered) > REMEMBERED:
                    self._remembered.popitem(last=False)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InvalidField(
                field, f"The picture {shortened(path.name)} cannot be read: {reason}.", code="E-IMAGE-FORMAT"
            ) from None
        return found

    def keep(self, image: Image.Image, notes: tuple[str, ...] = (), *, field: str = "image") -> ImageRef:
        """Keep a picture whose mode is RGB or RGBA, given as the request's `field`, also where what was kept of it is
        damaged. Raises `PictureNotKept`."""
        reference = ImageRef(sha256=digest(image), width=image.width, height=image.height)
        reference._notes = notes
        try:
            self.open(reference)
        except ImageMissing:
            try:
                with written_whole(self._path(reference)) as file:
                    image.save(file, "PNG", **_PNG_OPTIONS)
            except OSError as error:
                raise PictureNotKept(field, error) from error
        return reference

    def named(self, sha256: str, field: str = "image") -> ImageRef:
        """The picture of that name. Raises `InvalidField`."""
        try:
            with Image.open(self.root / sha256[:2] / f"{sha256}.png", formats=("PNG",)) as image:
                return ImageRef(sha256=sha256, width=image.width, height=image.height)
        except BROKEN:
            sentence = f"No picture with the SHA-256 {sha256[:12]}… is in the folder of inputs."
            raise InvalidField(field, sentence, code=ImageMissing.code) from None

    def check(self, reference: ImageRef, field: str = "image") -> None:
        """Raise `ImageMissing` if the picture is not here."""
        try:
            with Image.open(self._path(reference), formats=("PNG",)) as image:
                found = image.size
        except BROKEN:
            found = None
        if found != reference.size:
            raise ImageMissing(field, reference)

    def open(self, reference: ImageRef, field: str = "image") -> Image.Image:
        """The picture, RGB or RGBA, checked against its name. Raises `ImageMissing`."""
        try:
            with Image.open(self._path(reference), formats=("PNG",)) as image:
                image.load()
        except BROKEN:
            raise ImageMissing(field, reference) from None
        if digest(image) != reference.sha256:
            raise ImageMissing(field, reference)
        return image

    def painted(self, reference: ImageRef, field: str = "mask") -> Image.Image:
        """The picture as a mask (see `painted`). Raises `ImageMissing`."""
        return painted(self.open(reference, field))

    def levels(self, reference: ImageRef, field: str = "mask") -> Image.Image:
        """The picture as a mask of many levels (see `levels`). Raises `ImageMissing`."""
        return levels(self.open(reference, field))

    def _path(self, reference: ImageRef) -> Path:
        return self.root / reference.sha256[:2] / f"{reference.sha256}.png"


def digest(image: Image.Image) -> str:
    """SHA-256 of "MODE WIDTHxHEIGHT\\n" and the pixels, row by row."""
    return hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode() + image.tobytes()).hexdigest()


def on_white(image: Image.Image) -> Image.Image:
    """`image` as RGB, what is transparent on white."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def levels(image: Image.Image) -> Image.Image:
    """A mask as one channel, from 0 to 255 where it is fully painted: the alpha of a picture that has any, else how
    light it is."""
    return image.getchannel("A") if image.mode == "RGBA" else image.convert("L")


def painted(image: Image.Image) -> Image.Image:
    """As `levels`, but 255 from half on and 0 elsewhere."""
    return levels(image).point([0] * 128 + [255] * 128)


def decode(content: bytes, field: str = "image") -> tuple[Image.Image, tuple[str, ...]]:
    """The picture in a file's `content` as plain pixels (RGB, or RGBA where any is transparent), and what is to be said
    of it.

    The type is told by the content. Size and shape are checked before pixels are read. Raises `InvalidField`, and
    nothing else whatever the content is.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.size, field)
            notes = _notes_of_file(image)
            image.load()
            plain = _plain(_upright(image))
    except InvalidField:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(int((re.search(r"\d+", str(error)) or ["0"])[0]), field) from None
    except UnidentifiedImageError:
        raise _unknown(content, field) from None
    except BROKEN:
        raise _damaged(field) from None
    return plain, notes + _notes_of_pixels(plain)


def _state(path: Path) -> _State | None:
    """What changes with the file; None where there is none that can be read."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _content(path: Path, field: str) -> bytes:
    """The file's bytes. Raises `OSError`, and `InvalidField` for one that is too large."""
    with path.open("rb") as file:
        content = file.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        size = os.path.getsize(path) / 2**20  # noqa: PTH202 - the same number that was refused
        raise InvalidField(
            field,
            f"The picture's file has {size:.0f} MiB; the limit is {FILE_LIMIT // 2**20}.",
            code="E-IMAGE-FILE",
        )
    return content


def _check_size(size: tuple[int, int], field: str) -> None:
    width, height = size
    if min(size) < 1:
        raise _damaged(field)
    if width * height > PIXEL_LIMIT:
        raise _too_many_pixels(width * height, field)
    shape = f"The picture is {width} × {height} pixels; "
    if max(size) > SIDE_LIMIT:
        raise InvalidField(field, f"{shape}no side may be over {SIDE_LIMIT:,}.", code="E-IMAGE-SHAPE")
    if min(size) < SIDE_LEAST:
        raise InvalidField(field, f"{shape}each side must have at least {SIDE_LEAST}.", code="E-IMAGE-SHAPE")
    if max(size) > RATIO_LIMIT * min(size):
        raise InvalidField(
            field, f"{shape}the longer side may be at most {RATIO_LIMIT} times the shorter.", code="E-IMAGE-SHAPE"
        )


def _too_many_pixels(pixels: int, field: str) -> InvalidField:
    return InvalidField(
        field,
        f"The picture has {pixels / 1e6:.1f} Mpx; the limit is {PIXEL_LIMIT / 1e6:.1f} Mpx. Make it smaller first.",
        code="E-IMAGE-PIXELS",
    )


def _unknown(content: bytes, field: str) -> InvalidField:
    if _BEGINNINGS.match(content):
        return _damaged(field)
    what = "The file is empty" if not content else "The file is not a PNG, JPEG, WebP, AVIF or GIF picture"
    return InvalidField(field, f"{what}, whatever its name says.", code="E-IMAGE-FORMAT")


def _damaged(field: str) -> InvalidField:
    return InvalidField(field, "The picture's file is damaged or not complete; get it anew.", code="E-IMAGE-TRUNCATED")


def _notes_of_file(image: Image.Image) -> tuple[str, ...]:
    """JPEGs of some cameras hold more pictures than one (MPO), which are no animation."""
    frames = getattr(image, "n_frames", 1) if image.format in ("GIF", "WEBP", "PNG", "AVIF") else 1
    return (f"The picture is animated; only the first of its {frames} frames is used.",) if frames > 1 else ()


def _notes_of_pixels(image: Image.Image) -> tuple[str, ...]:
    if image.mode != "RGBA":
        return ()
    clear = image.getchannel("A").histogram()[0] / (image.width * image.height)
    return (f"{clear:.0%} of the picture is transparent; it is seen on white.",) if clear > MOSTLY else ()


def _upright(image: Image.Image) -> Image.Image:
    orientation = None
    with contextlib.suppress(*BROKEN):  # metadata that cannot be read says nothing; the pixels are sound
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    for step in _UPRIGHT.get(orientation, ()) if isinstance(orientation, int) else ():
        image = image.transpose(step)
    return image


def _plain(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where any pixel is transparent; 8 bits, sRGB."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits of grey: the mean is kept
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    has_alpha = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else None
    colours = _in_srgb(image, profile) if profile else None
    plain = colours or image.convert("RGBA" if has_alpha else "RGB").convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return Image.frombytes("RGB", plain.size, plain.tobytes())  # without what the file said beside its pixels
    plain.putalpha(alpha)
    return Image.frombytes("RGBA", plain.size, plain.tobytes())


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Colours as the file's profile means them; None where that cannot be told."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        given = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGBA").convert("RGB")
        return ImageCms.profileToProfile(given, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *BROKEN):
        return None
