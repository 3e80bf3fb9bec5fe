import os
import shutil
import tempfile
from pathlib import Path

# Read when datasets and huggingface_hub are imported: the tests leave the user's caches and indexes alone.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="imagenet-subsets-tests-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_TOKEN", "HF_DATASETS_TRUST_REMOTE_CODE"):
    os.environ.pop(name, None)

import pytest  # noqa: E402

from imagenet_reader import official  # noqa: E402
from imagenet_subsets_tools.standins import make_standins  # noqa: E402


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def standins_1pct(tmp_path_factory):
    """Folder of stand-in archives with the images of 1pct (and of validation); read only."""
    return make_standins(tmp_path_factory.mktemp("standins") / "1pct", configs=["1pct"])


@pytest.fixture(scope="session")
def standins_all(tmp_path_factory):
    """Folder of stand-in archives with the images of all configs; read only."""
    return make_standins(tmp_path_factory.mktemp("standins") / "all")


@pytest.fixture
def data_dir(standins_1pct, tmp_path):
    """A folder with links to the stand-ins of 1pct, which have no index there yet; for a test to spoil."""
    import imagenet_subsets

    folder = tmp_path / "data"
    folder.mkdir()
    for archive in (official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE):
        (folder / archive).hardlink_to(standins_1pct / archive)
        # pytest gives a path again, once a test has passed
        Path(imagenet_subsets.index_path(str(folder / archive))).unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="session")
def dataset_1pct(standins_1pct, tmp_path_factory):
    """1pct as the loader gives it, a ``DatasetDict``."""
    import imagenet_subsets

    cache = tmp_path_factory.mktemp("dataset")
    return imagenet_subsets.load_dataset("1pct", data_dir=str(standins_1pct), cache_dir=str(cache))


@pytest.fixture(scope="session")
def hub_folder(standins_1pct, tmp_path_factory):
    """Folder that ``build_parquet`` made of 1pct, in shards of 3 MB (4 and 13 files); read only."""
    from imagenet_subsets_tools import parquet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "SHARD_BYTES", 3_000_000)
        return parquet.build_parquet(tmp_path_factory.mktemp("hub") / "1pct", standins_1pct, ["1pct"])
