"""Rows read by nodes and by the workers of a DataLoader."""

import collections

import datasets
import pytest

pytestmark = pytest.mark.engines

NODES, WORKERS = 8, 4


@pytest.mark.skipif(not hasattr(datasets.IterableDataset, "reshard"), reason="it cannot share row groups out")
def test_nodes_and_workers_share_the_rows(hub_folder, dataset_1pct):
    """8 nodes with 4 workers each: each row once; all read equally many row groups, and no row group twice."""
    data = pytest.importorskip("torch.utils.data")
    from datasets.distributed import split_dataset_by_node

    stream = datasets.load_dataset(str(hub_folder), "1pct", split="train", streaming=True)
    stream = stream.select_columns(["file_name"]).reshard()
    seen = []
    for rank in range(NODES):
        node = split_dataset_by_node(stream, rank=rank, world_size=NODES)
        assert node.num_shards == 128 / NODES
        loader = data.DataLoader(node, batch_size=None, num_workers=WORKERS, collate_fn=_with_worker)
        rows = list(loader)
        by_worker = collections.Counter(worker for worker, _ in rows)
        assert set(by_worker) == set(range(WORKERS))
        assert max(by_worker.values()) - min(by_worker.values()) <= 128 / NODES / WORKERS
        seen.append([name for _, name in rows])
    assert sorted(name for names in seen for name in names) == sorted(dataset_1pct["train"]["file_name"][:])
    assert max(map(len, seen)) - min(map(len, seen)) <= 128 / NODES


def _with_worker(row):
    from torch.utils.data import get_worker_info

    return get_worker_info().id, row["file_name"]
