"""Looks at a picture: `look.py PICTURE.png RRGGBB…` prints how many pixels have each colour. Needs nothing but Python itself."""

import struct
import sys
import zlib


def rows(data):
    """The rows of a PNG of 8 bits a channel that is not interlaced, each as a list of pixels."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    width, height, bits, kind, _, _, interlaced = head
    assert bits == 8 and kind in (2, 6) and not interlaced, head
    step = 3 if kind == 2 else 4
    plain, stride = zlib.decompress(packed), width * step
    before = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        line = unfiltered(plain[start], bytearray(plain[start + 1 : start + 1 + stride]), before, step)
        yield [bytes(line[x : x + 3]) for x in range(0, stride, step)]
        before = line


def unfiltered(kind, line, before, step):
    """A row without its filter (RFC 2083, section 6)."""
    for x in range(len(line)):
        left = line[x - step] if x >= step else 0
        up = before[x]
        corner = before[x - step] if x >= step else 0
        if kind == 1:
            line[x] = (line[x] + left) & 255
        elif kind == 2:
            line[x] = (line[x] + up) & 255
        elif kind == 3:
            line[x] = (line[x] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))
            line[x] = (line[x] + near[2]) & 255
    return line


def main():
    wanted = [bytes.fromhex(colour) for colour in sys.argv[2:]]
    counts = dict.fromkeys(wanted, 0)
    with open(sys.argv[1], "rb") as picture:
        for row in rows(picture.read()):
            for pixel in row:
                if pixel in counts:
                    counts[pixel] += 1
    print(*(counts[colour] for colour in wanted))


main()
