"""The loading script in a repository on the Hub finds its split lists there."""

import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from hub import Hub

import imagenet_subsets
from imagenet_reader import lists

VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])
TOKEN = "hf_reader"


@pytest.mark.skipif(VERSION >= (4, 0), reason="datasets 4 and later runs no scripts")
@pytest.mark.parametrize("streaming", [False, True])
def test_the_hosted_script_loads(streaming, standins_1pct, tmp_path):
    script = Path(imagenet_subsets.__file__).parent / "imagenet_subsets.py"
    files = [script, *lists.SPLIT_FILES.iterdir()]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    code = (
        "import sys, datasets, huggingface_hub\n"
        "files = sys.argv[3:]\n"
        "additions = [huggingface_hub.CommitOperationAdd(name, path) for name, path in zip(files[::2], files[1::2])]\n"
        "huggingface_hub.create_repo('team/imagenet_subsets', repo_type='dataset', private=True, exist_ok=True)\n"
        "huggingface_hub.create_commit(\n"
        "    'team/imagenet_subsets', additions, commit_message='The script', repo_type='dataset')\n"
        "rows = datasets.load_dataset('team/imagenet_subsets', '1pct', data_dir=sys.argv[1], split='train',\n"
        "    splits=['train'], streaming=sys.argv[2] == 'True', trust_remote_code=True)\n"
        "print(next(iter(rows))['file_name'])\n"
    )
    pairs = [
        part for path in files for part in (str(path.relative_to(Path(imagenet_subsets.__file__).parent)), str(path))
    ]
    with Hub({TOKEN: "write"}) as hub:
        result = subprocess.run(
            [sys.executable, "-c", code, str(standins_1pct), str(streaming), *pairs],
            env={**environment, "HF_ENDPOINT": hub.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert result.stdout.strip().splitlines()[-1:] == ["n01601694_21328.JPEG"], result.stderr
