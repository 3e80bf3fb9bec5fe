"""The Hub's tar.gz files."""

from imagenet_subsets_tools.standins.layouts import write_hub_tar_gz as hub_tar_gz

__all__ = ["hub_tar_gz"]
