"""stub, being written"""
from pathlib import Path

_BESIDE = Path(__file__).resolve().parent
SPLIT_FILES = next(p for p in (_BESIDE / "split_files", _BESIDE / "imagenet_subsets_tools" / "split_files") if p.is_dir())
