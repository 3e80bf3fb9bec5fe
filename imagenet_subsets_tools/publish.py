"""Upload the folder that ``build_parquet`` writes to the Hub, as a private dataset repository.

ImageNet's terms forbid redistributing the images: repositories are created private, and public ones are refused before
anything is sent. All files are in one atomic commit, so a failed push leaves the previous revision unchanged.
"""

import os
from pathlib import Path

import huggingface_hub

from imagenet_subsets_tools.build import FOLDERS, SPLITS

_PLACES = [place for folder in FOLDERS for place in (folder, f"{folder}_[0-9]*")]  # the latter of resized images
_SHARDS = [f"{place}/{split}-?????-of-?????.parquet" for place in _PLACES for split in SPLITS]


class PushError(OSError):
    """A push failed. The message says why, and what to do."""


def push_to_hub(
    folder: str | os.PathLike[str],
    repo_id: str,
    token: str | None = None,
    public_i_have_the_right_to_distribute: bool = False,
) -> str:
    """Upload a built folder to the Hub, as a private repository.

    Files that the Hub already has are not sent again. The same commit removes shards of earlier pushes that are not in
    the folder; other files in the repository are left alone.

    Args:
        folder: the folder that ``build_parquet`` wrote.
        repo_id: the repository, ``"<namespace>/<name>"``; it is created, private, if it does not exist.
        token: as in ``huggingface_hub``; by default that of ``hf auth login`` or ``HF_TOKEN``.
        public_i_have_the_right_to_distribute: allow an existing public repository.

    Returns:
        ``str``: the revision that holds the files, for ``load_dataset(..., revision=...)``.

    Raises:
        FileNotFoundError: the folder does not exist, or is unfinished: it has no card, or lacks shards.
        PermissionError: the repository is public.
        PushError: the Hub refused or failed.

    Example:

        >>> push_to_hub("hub", "team/imagenet-subsets")
        '6271c4be5a4f0cfe35083677dc4cf8f32617c351'
    """
    files = _files(Path(folder))
    api = huggingface_hub.HfApi(token=token)
    try:
        if not api.repo_exists(repo_id, repo_type="dataset"):
            api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        if not api.dataset_info(repo_id).private and not public_i_have_the_right_to_distribute:
            raise PermissionError(
                f"{repo_id} is public, and ImageNet's terms forbid redistributing the images. Nothing was sent. Make "
                "it private in its settings, or push to another repository; if you have the right to distribute the "
                "images publicly, pass --public-i-have-the-right-to-distribute."
            )
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=Path(folder),
            repo_type="dataset",
            allow_patterns=files,
            delete_patterns=_SHARDS,  # but for those that are uploaded
            commit_message="Upload ImageNet subsets",
        )
    except PermissionError:
        raise
    except Exception as error:  # the client's errors have no common base
        cause = error.__cause__ if isinstance(error, RuntimeError) else None
        text = f"{str(error).rstrip('.') or type(error).__name__}{f': {cause}' if cause else ''}"
        reason = " ".join(text.split()).rstrip(".")
        kinds = {kind.__name__ for kind in type(cause or error).__mro__}
        if kinds & {"ConnectionError", "Timeout", "TransportError"}:  # of requests, or of httpx
            advice = "Could not reach the Hub: check the network (HF_ENDPOINT, proxies, HF_HUB_OFFLINE)"
        else:
            advice = "Check that the token (of `hf auth login`, or HF_TOKEN) has the right to write there"
        raise PushError(
            f"Could not push {folder} to {repo_id}: {reason:.1000}. The repository holds the previous revision or the "
            f"complete new one. {advice}, and push again: files that have arrived are not sent again."
        ) from error
    return commit.oid


def load_calls(folder: str | os.PathLike[str], repo_id: str) -> list[str]:
    """The calls that load the configs of a built folder once it is pushed."""
    card = huggingface_hub.DatasetCard.load(Path(folder) / "README.md")
    return [f'datasets.load_dataset("{repo_id}", "{config["config_name"]}")' for config in card.data.configs]


def _files(folder: Path) -> list[str]:
    """The patterns of the files of a finished build; files that the card does not list are not sent."""
    again = f"run `imagenet-subsets build` with --output-dir {folder} to completion; finished shards are kept."
    if not (folder / "README.md").is_file():
        state = "has no README.md, which a build writes last" if folder.is_dir() else "is not an existing folder"
        raise FileNotFoundError(f"{folder} {state}: {again}")
    configs = huggingface_hub.DatasetCard.load(folder / "README.md").data.configs
    patterns = list(dict.fromkeys(part["path"] for config in configs for part in config["data_files"]))
    for pattern in patterns:
        found, due = len(list(folder.glob(pattern))), int(pattern[-13:-8])  # ...-of-00003.parquet
        if found != due:
            raise FileNotFoundError(f"{folder / pattern}: found {found} of {due} shards: {again}")
    return ["README.md", *patterns]
