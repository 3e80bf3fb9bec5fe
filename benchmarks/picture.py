"""The README's picture: seconds until ``1pct`` is ready, one bar per method."""

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

BARS = {"TFDS": "TFDS", "copied": "this, copied", "in place": "this, in place"}  # run -> label
WIDTH, ROW, MARGIN, LABELS, VALUES = 1200, 72, 24, 330, 130  # pixels
OURS, THEIRS, TEXT = "#2a78b5", "#b0b4b9", "#202428"


def draw_picture(path, seconds):
    """Draw one bar per run of ``BARS`` that was measured.

    Args:
        path: the PNG to write.
        seconds: run -> seconds.
    """
    bars = [(run, label, seconds[run]) for run, label in BARS.items() if run in seconds]
    image = PIL.Image.new("RGB", (WIDTH, 2 * MARGIN + ROW * (len(bars) + 1)), "white")
    draw, font = PIL.ImageDraw.Draw(image), PIL.ImageFont.load_default(30)
    draw.text((MARGIN, MARGIN + ROW // 2), "Seconds until 1pct is ready", TEXT, font, anchor="lm")
    longest = max(value for _, _, value in bars)
    for number, (run, label, value) in enumerate(bars, start=1):
        top = MARGIN + ROW * number
        middle, end = top + ROW // 2, LABELS + (WIDTH - LABELS - VALUES - MARGIN) * value / longest
        draw.text((LABELS - 16, middle), label, TEXT, font, anchor="rm")
        draw.rectangle((LABELS, top + 10, max(end, LABELS + 3), top + ROW - 10), THEIRS if run == "TFDS" else OURS)
        draw.text((max(end, LABELS + 3) + 12, middle), f"{value:.1f} s", TEXT, font, anchor="lm")
    image.save(path, optimize=True)
