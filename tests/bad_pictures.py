"""Files that are no pictures, or none that can be used."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from presets.images import FORMATS

GRADIENT = Image.fromarray(np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one_bit(width, height):
    """A PNG of one bit a pixel, all black, small however large it says it is."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * min(height, 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


REFUSED = {
    "20000 x 20000": (one_bit(20000, 20000), "E-IMAGE-PIXELS", "400.0 Mpx; the limit is 16.8 Mpx"),
    "13000 x 13000": (one_bit(13000, 13000), "E-IMAGE-PIXELS", "169.0 Mpx"),
    "strip": (one_bit(100_000, 1), "E-IMAGE-SHAPE", "no side may be over 8,192"),
    "narrow": (one_bit(8000, 100), "E-IMAGE-SHAPE", "at most 20 times"),
    "one pixel": (encoded(Image.new("RGB", (1, 1))), "E-IMAGE-SHAPE", "at least 16"),
    "no width": (one_bit(0, 5), "E-IMAGE-TRUNCATED", "damaged"),
    "empty": (b"", "E-IMAGE-FORMAT", "The file is empty"),
    "html": (b"<html><body>hello</body></html>", "E-IMAGE-FORMAT", "not a PNG, JPEG, WebP, AVIF or GIF"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "E-IMAGE-FORMAT", "not a PNG"),
    "pdf": (b"%PDF-1.7\n", "E-IMAGE-FORMAT", "not a PNG"),
    "bmp": (encoded(GRADIENT, "BMP"), "E-IMAGE-FORMAT", "not a PNG"),
    "tiff": (encoded(GRADIENT, "TIFF"), "E-IMAGE-FORMAT", "not a PNG"),
    "bad checksum": (encoded(GRADIENT)[:20] + b"\xff" + encoded(GRADIENT)[21:], "E-IMAGE-TRUNCATED", "damaged"),
    **{
        f"half a {kind}": (encoded(GRADIENT, kind)[: len(encoded(GRADIENT, kind)) // 2], "E-IMAGE-TRUNCATED", "damaged")
        for kind in FORMATS
    },
}
"""Name -> content, code, and words of the sentence that it gets."""
