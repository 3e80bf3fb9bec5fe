"""Images per second of an epoch on photo-sized images, and what ``resize=256`` costs to build."""

import io
import time

import datasets
import numpy as np
from PIL import Image

import imagenet_subsets
from benchmarks.common import archive_of, images_of, measured
from benchmarks.training import extracted, train
from imagenet_subsets_tools.standins.images import name_hash
from imagenet_subsets_tools.standins.layouts import write_archives

__all__ = ["build_rows", "epoch_of_image_folder", "epoch_of_rows", "epoch_of_timm_tar", "make_photographs"]

PHOTOS = 3000  # of the images of 1pct
DISTINCT = 100  # pictures that they show
WIDTH, HEIGHT, QUALITY = 468, 401, 95  # about 110 kB
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_photographs(folder):
    """The training archive with photo-sized images; their spatial frequencies are like those of photos."""
    pictures = [_picture(seed) for seed in range(DISTINCT)]
    write_archives({name: pictures[name_hash(name) % DISTINCT] for name in _names()}, folder)


def _names():
    return [name for name, _ in images_of("1pct")["train"][:PHOTOS]]


def _picture(seed):
    random = np.random.RandomState(seed)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = np.inf  # no constant part
    planes = []
    for contrast in (33, 12, 12):  # of brightness, and of two colours
        waves = np.fft.rfft2(random.normal(size=(HEIGHT, WIDTH))) / frequency**1.2
        plane = np.fft.irfft2(waves, (HEIGHT, WIDTH))
        planes.append(Image.fromarray((128 + contrast * plane / plane.std()).clip(0, 255).astype(np.uint8)))
    file = io.BytesIO()
    Image.merge("YCbCr", planes).save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()


def epoch_of_rows(folder, workers, fast=False, resize=None):
    """An epoch on copied rows, as in the README, or ``fast``, as in docs/training.md, but without the device's part."""
    rows = _load(folder, resize)
    if fast:
        rows = rows.cast_column("image", datasets.Image(decode=False)).with_transform(_fast_transform())
    else:
        augment = _augment()
        rows = rows.with_transform(
            lambda batch: {"image": [augment(image) for image in batch["image"]], "label": batch["label"]}
        )
    return _rate(train(rows, workers, PHOTOS - workers * 64))


def epoch_of_image_folder(folder, workers):
    """An epoch on the extracted images, with torchvision's ImageFolder and the README's transforms."""
    from torchvision.datasets import ImageFolder

    return _rate(train(ImageFolder(extracted(folder), _augment()), workers, PHOTOS - workers * 64))


def epoch_of_timm_tar(folder, workers):
    """An epoch on the archive, with timm's reader of tars and the README's transforms."""
    from timm.data import ImageDataset

    rows = ImageDataset(str(archive_of(folder, "train")), reader="", transform=_augment())
    return _rate(train(rows, workers, PHOTOS - workers * 64))


def build_rows(folder, resize=None):
    """Build the rows; all threads' CPU time per image, and the size of an image."""
    before = time.process_time()
    with measured() as result:
        rows = _load(folder, resize)
    result["cpu_ms"] = (time.process_time() - before) / len(rows) * 1e3
    images = rows.with_format("arrow")[:]["image"].to_pylist()
    return result | {"image_kb": sum(len(image["bytes"]) for image in images) / len(images) / 1e3}


def _load(folder, resize):
    options = {"train_list": _names(), "splits": ["train"], "split": "train", "resize": resize}
    return imagenet_subsets.load_dataset("custom", data_dir=folder, **options)


def _augment():
    import torch
    from torchvision.transforms import v2

    crop = [v2.ToImage(), v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([*crop, v2.Normalize(MEAN, DEVIATION)])


def _fast_transform():
    import simplejpeg
    import torch
    from torchvision.transforms import v2

    augment = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()])

    def transform(batch):
        files = (imagenet_subsets.as_benchmark(image["bytes"]) for image in batch["image"])
        images = (torch.from_numpy(simplejpeg.decode_jpeg(file)).permute(2, 0, 1) for file in files)
        return {"image": [augment(image) for image in images], "label": batch["label"]}

    return transform


def _rate(result):
    return result | {"images_per_second": result["images"] / result["seconds"]}
