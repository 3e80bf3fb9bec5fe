import functools
import itertools
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path

# Read when datasets and huggingface_hub are imported: the tests leave the user's caches and indexes alone.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="imagenet-subsets-tests-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_TOKEN", "HF_DATASETS_TRUST_REMOTE_CODE"):
    os.environ.pop(name, None)

import filelock  # noqa: E402
import huggingface_hub  # noqa: E402
import pytest  # noqa: E402
from helpers import short_messages  # noqa: E402
from helpers.faults import NAMES, TRAIN, VAL_OPTIONS, load  # noqa: E402
from helpers.pages import PAGES  # noqa: E402
from makers.images import numbered_jpeg  # noqa: E402
from makers.layouts import VALIDATION, label_of, train_images, validation_images  # noqa: E402
from makers.tars import write_tar  # noqa: E402

import imagenet_subsets  # noqa: E402
from imagenet_reader import facts as official  # noqa: E402
from imagenet_reader import lists  # noqa: E402
from imagenet_subsets_tools.standins import make_standins  # noqa: E402

pytest.raises, pytest.warns = short_messages.raises, short_messages.warns
read_list = functools.cache(lists.read_split_list)
records = short_messages.start_record()  # in the process that collects the results of all others


def pytest_sessionfinish(session):
    """Compare the messages of the manual with those that all tests have provoked."""
    if not records:
        return
    config, reporter = session.config, session.config.pluginmanager.get_plugin("terminalreporter")
    options = config.option
    chosen = config.args_source != pytest.Config.ArgsSource.TESTPATHS
    chosen = chosen or options.keyword or options.markexpr or options.deselect or options.collectonly
    lacks_rights = any("no rights to" in str(report.longrepr) for report in reporter.stats.get("skipped", ()))
    if chosen or lacks_rights or session.exitstatus != pytest.ExitCode.OK:
        reporter.section("docs/troubleshooting.md is not compared: not all tests ran, or some failed or lacked rights")
        return
    absent = short_messages.never_raised(PAGES["docs/troubleshooting.md"], short_messages.recorded())
    if absent:
        reporter.section("no test raises these messages of docs/troubleshooting.md")
        reporter.write_line("\n".join(absent))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)
    if records:
        shutil.rmtree(os.environ[short_messages.RECORD], ignore_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """``shared(name, make)``: a folder that ``make(folder)`` makes once for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def shared(name, make):
        with filelock.FileLock(base / f"{name}.lock"):
            if not (base / name).exists():
                make(base / name)
        return base / name

    return shared


@pytest.fixture(scope="session")
def standins_1pct(shared):
    """Folder of stand-in archives with the images of 1pct (and of validation); not to be modified."""
    return shared("standins-1pct", lambda folder: make_standins(folder, configs=["1pct"]))


@pytest.fixture(scope="session")
def standins_all(shared):
    """Folder of stand-in archives with the images of all configs; not to be modified."""
    return shared("standins-all", make_standins)


@pytest.fixture
def data_dir(standins_1pct, tmp_path):
    """A folder with hard links to the stand-ins of 1pct, without cached indexes; a test may modify it."""
    folder = tmp_path / "data"
    folder.mkdir()
    for archive in (official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE):
        (folder / archive).hardlink_to(standins_1pct / archive)
        # pytest reuses the path of a test that has passed
        Path(imagenet_subsets.index_path(str(folder / archive))).unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="session")
def dataset_1pct(standins_1pct, shared):
    """1pct as ``load_dataset`` returns it, a ``DatasetDict``."""
    options = {"data_dir": str(standins_1pct), "cache_dir": str(standins_1pct.parent / "dataset")}
    shared("dataset", lambda _: imagenet_subsets.load_dataset("1pct", **options))
    return imagenet_subsets.load_dataset("1pct", **options)


@pytest.fixture(scope="session")
def hub_folder(standins_1pct, shared):
    """Folder with 1pct, built by ``build_parquet`` in shards of 3 MB (4 and 13 files); not to be modified."""
    from imagenet_subsets_tools import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "SHARD_BYTES", 3_000_000)
        return shared("hub-1pct", lambda folder: build.build_parquet(folder, standins_1pct, ["1pct"]))


@pytest.fixture(scope="session")
def images():
    """{file name: bytes}; all differ."""
    return {name: numbered_jpeg(k) for k, name in enumerate(NAMES)}


@pytest.fixture
def val_tar(images, tmp_path):
    """The path of a validation archive with 300 images; a test may modify it."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / official.VALIDATION_ARCHIVE
    write_tar(path, images)
    return path


@pytest.fixture
def hf_home(tmp_path, monkeypatch):
    """A separate, empty HF_HOME."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "hf_home"))
    return tmp_path / "hf_home"


@pytest.fixture
def before_reads(monkeypatch):
    """``before_reads(act)`` calls ``act(position, size)`` before each read."""
    reads = {"pread": os.pread, "preadv": os.preadv}

    def before_reads(act):
        for name, read in reads.items():

            def acting(fd, what, position, read=read):
                act(position, what if isinstance(what, int) else sum(map(len, what)))
                return read(fd, what, position)

            monkeypatch.setattr(os, name, acting)

    return before_reads


@pytest.fixture
def run_as_root():
    """``run_as_root(*command)``; skips the test where this is impossible."""
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]

    def run_as_root(*command):
        try:
            subprocess.run([*rights, *map(str, command)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no rights to {command[0]}: {getattr(error, 'stderr', error)}")

    return run_as_root


@pytest.fixture
def small_disk(run_as_root, tmp_path):
    """``small_disk(size)`` returns a folder on a separate file system; another call changes its size."""
    folder = tmp_path / "disk"
    mounted = []

    def small_disk(size):
        folder.mkdir(exist_ok=True)
        remount = ["remount,"] if mounted else [""]
        run_as_root("mount", "-t", "tmpfs", "-o", f"{remount[0]}size={size},mode=777", "tmpfs", folder)
        mounted.append(size)
        return folder

    yield small_disk
    if mounted:
        run_as_root("umount", "--lazy", folder)


@pytest.fixture
def read_only(request, run_as_root):
    """``read_only(folder)`` makes an existing folder read-only."""

    def read_only(folder):
        if os.geteuid():
            os.chmod(folder, 0o555)
            request.addfinalizer(lambda: os.chmod(folder, 0o755))
        else:  # root may write whatever the mode is
            run_as_root("mount", "--bind", folder, folder)
            request.addfinalizer(lambda: run_as_root("umount", "--lazy", folder))
            run_as_root("mount", "-o", "remount,ro,bind", folder)

    return read_only


@pytest.fixture(scope="session")
def complete_cache(standins_1pct, tmp_path_factory):
    """The folder of a cache with the training rows of 1pct; not to be modified."""
    folder = tmp_path_factory.mktemp("undisturbed")
    imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, cache_dir=str(folder), **TRAIN)
    return folder


@pytest.fixture
def lists_are_read_once(monkeypatch):
    """Each published list is read once by all tests of a process."""
    monkeypatch.setattr(lists, "read_split_list", read_list)


@pytest.fixture
def time_limit():
    """End after 100 s, far more than any test needs: no archive may cause an endless loop."""
    signal.alarm(100)  # its signal ends the process
    yield
    signal.alarm(0)


@pytest.fixture
def write_archive(tmp_path):
    """``write_archive(*parts)`` writes bytes to an archive and returns its path."""
    count = itertools.count()

    def write_archive(*parts, name=None):
        path = tmp_path / (name or f"{next(count)}.tar")
        path.write_bytes(b"".join(parts))
        return str(path)

    return write_archive


@pytest.fixture(scope="module")
def train(standins_1pct):
    """{name: bytes} of all training images of the stand-in."""
    return train_images(standins_1pct)


@pytest.fixture(scope="module")
def small_images(train, standins_1pct):
    """{name: bytes} of the training images of seven classes, and of 150 validation images."""
    images = {name: content for name, content in train.items() if label_of(name) % 150 == 0}
    return images | dict(itertools.islice(validation_images(standins_1pct).items(), 150))


@pytest.fixture
def list_options(small_images, tmp_path):
    """The options of a custom dataset with the small images."""
    names = {"train": [], "validation": []}
    for name in small_images:
        names["validation" if name.startswith(VALIDATION) else "train"].append(name)
    for split, of_split in names.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(of_split))
    return {f"{split}_list": str(tmp_path / f"{split}.txt") for split in names}


@pytest.fixture
def cached_files(hf_home):
    """``cached_files()``: the names of the files in a separate HF_HOME, except locks."""
    return lambda: sorted(path.name for path in hf_home.glob("*/*") if path.suffix != ".lock")


@pytest.fixture
def at_member(monkeypatch):
    """``at_member(number, act)`` calls ``act()`` before the image with this number is copied from a tar.gz."""

    def at_member(number, act):
        addfile, numbers = tarfile.TarFile.addfile, itertools.count()

        def acting(*args, **options):
            if next(numbers) == number:
                act()
            return addfile(*args, **options)

        monkeypatch.setattr(tarfile.TarFile, "addfile", acting)

    return at_member


@pytest.fixture(scope="session")
def in_place(standins_1pct, tmp_path_factory):
    """1pct in place, a ``DatasetDict``, from the same archives as ``dataset_1pct``."""
    cache = str(tmp_path_factory.mktemp("in-place"))
    return imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, cache_dir=cache, in_place=True)


@pytest.fixture
def val_in_place(val_tar, tmp_path):
    """The 300 rows of ``val_tar``, in place."""
    return load(val_tar, cache_dir=str(tmp_path / "cache"), in_place=True, **VAL_OPTIONS)
