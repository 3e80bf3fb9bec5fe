"""Rows per second that a training loop gets from the images of 1pct, with the transforms of torchvision."""

import random
import tarfile

from benchmarks.common import archive_of
from benchmarks.in_place import BATCH, decoded_directly, timed, training_rows

ROWS = 4000  # measured


def train_rows(folder, workers, in_place=False, direct=False):
    """Train on the rows of this project; ``direct`` decodes them with Pillow instead of datasets."""
    rows, augment = training_rows(folder, in_place), _augment()
    if direct:
        rows = decoded_directly(rows, lambda images: [augment(image) for image in images])
    else:
        rows = rows.with_transform(
            lambda batch: {"image": [augment(image) for image in batch["image"]], "label": batch["label"]}
        )
    return train(rows, workers)


def train_image_folder(folder, workers):
    """Train on the extracted images, with torchvision's ImageFolder."""
    from torchvision.datasets import ImageFolder

    return train(ImageFolder(extracted(folder), _augment()), workers)


def train_timm_tar(folder, workers):
    """Train on the training archive, with timm's reader of tars."""
    from timm.data import ImageDataset

    return train(ImageDataset(str(archive_of(folder, "train")), reader="", transform=_augment()), workers)


def _augment():
    from torchvision import transforms

    return transforms.Compose([transforms.RandomResizedCrop(224), transforms.PILToTensor()])


def extracted(folder):
    """The folder of the extracted training images, made once."""
    images = folder / "extracted"
    if not images.exists():
        with tarfile.open(archive_of(folder, "train")) as outer:
            for class_tar in outer:
                with tarfile.open(fileobj=outer.extractfile(class_tar)) as inner:
                    inner.extractall(images / class_tar.name.removesuffix(".tar"), filter="data")
    return images


def train(rows, workers, count=ROWS):
    from torch.utils.data import DataLoader, Subset

    order = random.Random(0).sample(range(len(rows)), count + workers * BATCH)
    loader = DataLoader(Subset(rows, order), batch_size=BATCH, num_workers=workers, drop_last=True)
    batches = iter(loader)
    next(batches)  # the workers are running
    with timed() as result:
        for _ in batches:
            pass
    return result | {"images": count // BATCH * BATCH}
