#!/usr/bin/env python3
"""Draw the sample digits: strokes of a pen on a 28x28 sheet, written as plain PGM files (255 = ink).

usage: draw.py FOLDER        (needs nothing but Python)
"""
import math
import sys

SIZE, PEN = 28, 1.25


def arc(cx, cy, rx, ry, start, end, n=40):
    """Points of an ellipse's arc; degrees, clockwise from three o'clock."""
    angles = [math.radians(start + (end - start) * i / n) for i in range(n + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in angles]


STROKES = {
    0: [arc(14, 14, 5.2, 8.6, -70, 290)],
    1: [[(11, 9), (14.6, 5.5), (14, 23)]],
    2: [arc(13.6, 10.2, 5.0, 4.8, 190, 385) + [(9, 22.3), (19.8, 22)]],
    3: [arc(13.4, 9.6, 4.6, 4.1, 205, 440) + arc(13.3, 17.9, 5.4, 4.5, -85, 150)],
    4: [[(11.5, 5.5), (8.2, 15.5), (20, 15)], [(17, 8.5), (16, 23)]],
    5: [[(19, 5.8), (11.2, 6), (10.3, 12.6)] + arc(13.4, 17.1, 5.3, 5.2, 235, 500)],
    6: [[(17.5, 5.3), (12.5, 9.4), (9.3, 16)] + arc(13.9, 18, 4.6, 4.6, 190, 550)],
    7: [[(8.5, 6.8), (19.3, 6.2), (12.6, 23)]],
    8: [arc(14, 9.4, 3.9, 3.9, 90, 450) + arc(14, 18, 4.8, 4.7, 270, 630)],
    9: [arc(13.6, 10.2, 4.6, 4.6, 0, 360) + [(18.2, 10.2), (17.6, 16), (15.6, 23)]],
}


def distance(x, y, p, q):
    (ax, ay), (bx, by) = p, q
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    t = 0 if length == 0 else max(0.0, min(1.0, ((x - ax) * dx + (y - ay) * dy) / length))
    return math.hypot(x - ax - t * dx, y - ay - t * dy)


def ink(strokes, x, y):
    d = min(distance(x + 0.5, y + 0.5, s[i], s[i + 1]) for s in strokes for i in range(len(s) - 1))
    return round(255 * max(0.0, min(1.0, PEN + 0.5 - d)))


def main():
    for digit, strokes in STROKES.items():
        rows = [" ".join(f"{ink(strokes, x, y):3d}" for x in range(SIZE)) for y in range(SIZE)]
        with open(f"{sys.argv[1]}/{digit}.pgm", "w", encoding="ascii") as f:
            f.write(f"P2\n{SIZE} {SIZE}\n255\n" + "\n".join(rows) + "\n")


main()
