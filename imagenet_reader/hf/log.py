"""The logger of this project, below that of ``datasets``: ``datasets.logging.set_verbosity_info()`` shows it."""

import logging

logger = logging.getLogger("datasets.imagenet_subsets")
