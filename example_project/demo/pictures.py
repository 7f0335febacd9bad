"""Draw sample pictures, for people who have none at hand."""

import colorsys
import math
from io import BytesIO
from random import Random

from django.core.files.base import ContentFile
from PIL import Image, ImageDraw

SIZE = (1600, 1200)
DOTS = 450
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def draw(seed: int) -> ContentFile:
    """Return a PNG file with a sunflower of dots; each seed has its own colours and shape."""
    random = Random(seed)
    hue, spread = random.random(), random.uniform(0.08, 0.35)
    image = Image.new("RGB", SIZE, colour(hue + 0.5, 0.45, 0.16))
    pen = ImageDraw.Draw(image)
    for index in range(DOTS, 0, -1):
        distance = 48 * math.sqrt(index)
        angle = index * GOLDEN_ANGLE
        x = SIZE[0] * 0.5 + distance * math.cos(angle)
        y = SIZE[1] * 0.5 + distance * math.sin(angle)
        outwards = index / DOTS
        radius = 19 + 13 * outwards
        fill = colour(hue + spread * outwards, 0.7, 1 - 0.4 * outwards)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    file = BytesIO()
    image.save(file, "PNG")
    return ContentFile(file.getvalue(), name=f"sunflower-{seed}.png")


def colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
