"""The README's pictures: seconds until ``1pct`` is ready, and images per second of an epoch, one bar per method."""

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

SECONDS = (
    "Seconds until 1pct is ready (62,811 images of 70 kB, 2 cores, 8 threads)",
    "{:.1f} s",
    {  # title, unit, run -> label
        "TFDS": "TFDS",
        "copied": "this, copied",
        "in place": "this, in place",
    },
)
RATES = (
    "Images per second of an epoch, 2 workers",
    "{:,.0f}",
    {
        "ImageFolder": "ImageFolder",
        "timm": "timm",
        "README": "this",
        "fast": "this, fast way",
        "resize=256": "this, resize=256",
        "both": "this, both",
    },
)
RIVALS = "TFDS", "ImageFolder", "timm"
WIDTH, ROW, MARGIN, LABELS, VALUES = 1200, 72, 24, 330, 130  # pixels
OURS, THEIRS, TEXT = "#2a78b5", "#b0b4b9", "#202428"


def draw_picture(path, values, title, unit, labels):
    """Draw one bar per run of ``labels`` that was measured.

    Args:
        path: the PNG to write.
        values: run -> what was measured.
        title, unit, labels: as in ``SECONDS``.
    """
    bars = [(run, label, values[run]) for run, label in labels.items() if run in values]
    image = PIL.Image.new("RGB", (WIDTH, 2 * MARGIN + ROW * (len(bars) + 1)), "white")
    draw, font = PIL.ImageDraw.Draw(image), PIL.ImageFont.load_default(30)
    draw.text((MARGIN, MARGIN + ROW // 2), title, TEXT, font, anchor="lm")
    longest = max(value for _, _, value in bars)
    for number, (run, label, value) in enumerate(bars, start=1):
        top = MARGIN + ROW * number
        middle, end = top + ROW // 2, LABELS + (WIDTH - LABELS - VALUES - MARGIN) * value / longest
        draw.text((LABELS - 16, middle), label, TEXT, font, anchor="rm")
        draw.rectangle((LABELS, top + 10, max(end, LABELS + 3), top + ROW - 10), THEIRS if run in RIVALS else OURS)
        draw.text((max(end, LABELS + 3) + 12, middle), unit.format(value), TEXT, font, anchor="lm")
    image.save(path, optimize=True)
