"""Upload the folder that ``build_parquet`` writes to the Hub, as a private dataset repository.

ImageNet's terms forbid redistributing the images: repositories are created private, and public ones are
refused before anything is sent. All files are in one atomic commit, so a failed push leaves the previous
revision unchanged.
"""

import contextlib
import hashlib
from fnmatch import fnmatchcase
from pathlib import Path

import huggingface_hub
import pyarrow.parquet as pq
from huggingface_hub.utils import RepositoryNotFoundError

from imagenet_subsets_tools.parquet import SHARD_PATH

_BATCH = 5  # files per batch; an interrupted push repeats at most one batch


class PushError(OSError):
    """A push failed. The message says in which step, why, and what to do."""


def push_to_hub(folder, repo_id, token=None, public_i_have_the_right_to_distribute=False):
    """Upload a built folder to the Hub, and check the listing there to confirm that all files have arrived.

    Files that the Hub already has are not sent again, whether unchanged or from a failed push. The same commit removes
    shards of earlier pushes that are not in the folder; other files in the repository are left alone.

    Args:
        folder: the folder that ``build_parquet`` wrote.
        repo_id: the repository, ``"<namespace>/<name>"``; it is created, private, if it does not exist.
        token: as in ``huggingface_hub``; by default that of ``hf auth login`` or ``HF_TOKEN``.
        public_i_have_the_right_to_distribute: allow an existing public repository. Leave this out
            unless ImageNet has granted you the right to distribute the images publicly.

    Returns:
        ``str``: the revision that holds the files, for ``load_dataset(..., revision=...)``.

    Raises:
        FileNotFoundError: the folder is unfinished: it has no card, or lacks shards.
        PermissionError: the repository is public.
        PushError: the Hub refused or failed, or its listing differs from the folder.

    Example:

        >>> push_to_hub("hub", "team/imagenet-subsets")
        '6271c4be5a4f0cfe35083677dc4cf8f32617c351'
    """
    files = _files(Path(folder))
    api = huggingface_hub.HfApi(token=token)
    with _step("log in", "Check the token: `hf auth login`, or HF_TOKEN."):
        api.whoami()
    with _step(f"find or create {repo_id}", "The token needs the right to write there."):
        _make_private(api, repo_id, public_i_have_the_right_to_distribute)
    with _step(
        f"upload {folder} to {repo_id}",
        "The repository holds the previous revision or the complete new one. Push again: files that have arrived are "
        "not sent again.",
    ):
        additions = [huggingface_hub.CommitOperationAdd(name, path) for name, path in files.items()]
        revision = _upload(api, repo_id, additions)
    with _step(f"read the listing of {repo_id} back", "Push again: only missing files are sent."):
        listed = _listing(api, repo_id, revision)
        for addition in additions:
            if not _is_listed(addition, listed):
                raise PushError(
                    f"{addition.path_in_repo} did not arrive intact: expected {addition.upload_info.size:,} bytes "
                    f"with the SHA-256 {addition.upload_info.sha256.hex()}, found "
                    f"{listed.get(addition.path_in_repo, 'nothing')}. Push again."
                )
    return revision


def load_calls(folder, repo_id):
    """The calls that load the configs of a built folder once it is pushed, ``list[str]``."""
    card = huggingface_hub.DatasetCard.load(Path(folder) / "README.md")
    return [f'datasets.load_dataset("{repo_id}", "{config["config_name"]}")' for config in card.data.configs]


@contextlib.contextmanager
def _step(what, advice):
    """Turn client errors, whose classes vary between versions, into a ``PushError`` with advice."""
    try:
        yield
    except (PermissionError, PushError):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, RuntimeError) and error.__cause__ is not None:  # it names the file, its cause the reason
            reason = f"{reason.rstrip('.')}: {error.__cause__}"
        raise PushError(f"Could not {what}: {' '.join(reason.split()).rstrip('.'):.1000}. {advice}") from error


def _files(folder):
    """The files of a finished build, ``dict[str, Path]``; files that the card does not list are not sent."""
    if not (folder / "README.md").is_file():
        raise FileNotFoundError(
            f"{folder} has no README.md, which a build writes last: run `imagenet-subsets build` with "
            f"--output-dir {folder} to completion."
        )
    data = huggingface_hub.DatasetCard.load(folder / "README.md").data
    infos = data.dataset_info if isinstance(data.dataset_info, list) else [data.dataset_info]
    rows = {(info["config_name"], split["name"]): split["num_examples"] for info in infos for split in info["splits"]}
    shards = {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("*/*.parquet"))}
    files = {"README.md": folder / "README.md"}
    for config in data.configs:
        for part in config["data_files"]:
            named = {name: path for name, path in shards.items() if fnmatchcase(name, part["path"])}
            found = sum(pq.read_metadata(path).num_rows for path in named.values())
            listed = rows[config["config_name"], part["split"]]
            if found != listed:
                raise FileNotFoundError(
                    f"{folder / part['path']} has {found:,} rows in {len(named)} files; the card says {listed:,}. Run "
                    f"`imagenet-subsets build` with --output-dir {folder} again; finished shards are kept."
                )
            files.update(named)
    return files


def _make_private(api, repo_id, may_be_public):
    try:
        info = api.dataset_info(repo_id)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        info = api.dataset_info(repo_id)
    if not info.private and not may_be_public:
        raise PermissionError(
            f"{repo_id} is public, and ImageNet's terms forbid redistributing the images. Nothing was sent. Make it "
            "private in its settings, or push to another repository; if you have the right to distribute the images "
            "publicly, pass --public-i-have-the-right-to-distribute."
        )


def _upload(api, repo_id, additions):
    """Bring the newest revision up to date, with one commit if necessary, and return its id."""
    listed = _listing(api, repo_id, "main")
    missing = [addition for addition in additions if not _is_listed(addition, listed)]
    names = {addition.path_in_repo for addition in additions}
    stale = [
        huggingface_hub.CommitOperationDelete(name)
        for name in listed
        if SHARD_PATH.fullmatch(name) and name not in names
    ]
    if not missing and not stale:
        return api.dataset_info(repo_id).sha
    for start in range(0, len(missing), _BATCH):
        files = missing[start : start + _BATCH]
        api.preupload_lfs_files(repo_id, files, repo_type="dataset", free_memory=False)
    message = "Upload ImageNet subsets"
    return api.create_commit(repo_id, [*missing, *stale], commit_message=message, repo_type="dataset").oid


def _listing(api, repo_id, revision):
    """The files of a revision, ``dict[str, RepoFile]``."""
    entries = api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in entries if isinstance(entry, huggingface_hub.hf_api.RepoFile)}


def _is_listed(addition, listed):
    """Whether a file is listed with its size and hash: SHA-256 for LFS files, git's for others."""
    found = listed.get(addition.path_in_repo)
    if found is None or found.size != addition.upload_info.size:
        return False
    if found.lfs is not None:
        return found.lfs.sha256 == addition.upload_info.sha256.hex()
    with addition.as_file() as file:
        content = file.read()
    return found.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
