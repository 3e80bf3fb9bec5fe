"""Stream 1pct slowly by KIND: one process, processes, or a DataLoader: KIND DATA_DIR."""

import multiprocessing
import os
import sys

import first  # noqa: F401
import slow_images  # noqa: F401
from datasets.distributed import split_dataset_by_node

import imagenet_subsets


class Noting:
    """Reports, once, that its process has read rows."""

    def __init__(self, stream):
        self.stream = stream

    def __iter__(self):
        for number, row in enumerate(self.stream):
            if number == 50:
                open(f"read-{os.getpid()}", "w").close()
            yield row["label"]


def read(rows):
    for _ in rows:
        pass


def read_by(kind, stream):
    if kind == "one process":
        read(Noting(stream))
    elif kind == "processes":
        for rank in range(2):
            multiprocessing.Process(target=read, args=(Noting(split_dataset_by_node(stream, rank, 2)),)).start()
        for process in multiprocessing.active_children():
            process.join()
    else:
        from torch.utils.data import DataLoader, IterableDataset

        bases = (Noting, IterableDataset)
        read(DataLoader(type("Rows", bases, {})(stream), batch_size=10, num_workers=2))


if __name__ == "__main__":
    kind, data_dir = sys.argv[1:]
    read_by(kind, imagenet_subsets.load_dataset("1pct", data_dir=data_dir, streaming=True, split="train"))
