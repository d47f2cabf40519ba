import io
import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, PngImagePlugin

from presets.chunks import TEXT_LIMIT, TEXTS_LIMIT, comment_segments, read_texts
from presets.exif import read_texts as read_exif
from presets.exif import write_texts

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + b"\0\0\0\0"


HEADER = PNG + chunk(b"IHDR", struct.pack(">II5B", 40, 24, 8, 2, 0, 0, 0))


def saved(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 24)).save(buffer, format, **options)
    return buffer.getvalue()


def found(content: bytes):
    return read_texts(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (saved("PNG"), "PNG"),
        (saved("JPEG"), "JPEG"),
        (saved("JPEG", progressive=True), "JPEG"),
        (saved("WEBP"), "WebP"),
        (saved("WEBP", lossless=True), "WebP"),
        (saved("WEBP", exif=write_texts("x", None)), "WebP"),
        (b"<html>", ""),
    ],
)
def test_format_and_size_are_told_by_the_content(content, format):
    assert (found(content).format, found(content).size) == (format, (40, 24) if format else (0, 0))


def test_all_three_kinds_of_png_text_are_read():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("plain", "sea")
    texts.add_text("packed", "sea " * 99, zip=True)
    texts.add_itxt("international", "море", zip=True)
    content = saved("PNG", pnginfo=texts)
    assert found(content).texts == {"plain": "sea", "packed": "sea " * 99, "international": "море"}


def test_text_that_is_utf8_although_the_format_says_latin_is_read_as_such():
    assert found(HEADER + chunk(b"tEXt", b"prompt\0" + "море".encode())).texts == {"prompt": "море"}
    assert found(HEADER + chunk(b"tEXt", b"prompt\0caf\xe9")).texts == {"prompt": "café"}


@pytest.mark.parametrize("code", ["utf-16-be", "utf-16-le"])
def test_a_user_comment_is_read_in_either_order_of_bytes(code):
    tiff = Image.Exif()
    tiff.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a house, море".encode(code)
    for format in ("JPEG", "WEBP"):
        assert found(saved(format, exif=tiff.tobytes())).texts == {"UserComment": "a house, море"}


def test_a_long_text_goes_on_in_further_jpeg_comments():
    text = "x" * 200_000
    assert found(saved("JPEG", extra=comment_segments(text))).texts == {"easel": text}


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"zTXt", b"eXIf"])
def test_a_text_that_is_too_long_is_left_out_and_told_and_the_rest_is_read(kind):
    long = chunk(kind, b"long\0\0\0\0" + b"x" * (5 * TEXT_LIMIT))
    texts = found(HEADER + long + chunk(b"tEXt", b"short\0sea"))
    assert texts.texts == {"short": "sea"}
    assert "was left out" in "".join(texts.problems.values())


def test_a_text_that_unpacks_to_very_much_is_left_out_in_little_time():
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(b" " * 2**26))
    start = time.process_time()
    assert found(HEADER + bomb * 300).texts == {}
    assert time.process_time() - start < 3


def test_of_very_many_texts_only_the_first_are_read():
    many = b"".join(chunk(b"tEXt", b"%d\0x" % number) for number in range(50_000))
    assert len(found(HEADER + many).texts) == TEXTS_LIMIT


beginnings = [b"", HEADER, saved("JPEG", exif=write_texts("x", "y")), saved("WEBP", exif=write_texts("x", "y"))]


@given(
    content=some.sampled_from(beginnings),
    damage=some.lists(some.tuples(some.integers(0, 10_000), some.binary(max_size=12)), max_size=8),
    end=some.binary(max_size=200),
)
@settings(max_examples=400, deadline=None)
def test_whatever_the_bytes_are_reading_ends_without_an_error(content, damage, end):
    damaged = bytearray(content + end)
    for place, data in damage:
        damaged[place % (len(damaged) + 1) : place % (len(damaged) + 1) + len(data)] = data
    texts = found(bytes(damaged))
    assert all(isinstance(text, str) for text in texts.texts.values())


@given(data=some.binary(max_size=300), head=some.sampled_from([b"II*\0", b"MM\0*", b"Exif\0\0II*\0", b""]))
@settings(max_examples=400, deadline=None)
def test_whatever_exif_holds_reading_ends_without_an_error(data, head):
    assert set(read_exif(head + data)) <= {"ImageDescription", "Make", "Model", "UserComment"}
