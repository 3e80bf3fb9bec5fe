"""Every message that a test provokes is short: people read the advice at its end."""

import contextlib
import pathlib

import pytest

import imagenet_reader
import imagenet_subsets
import imagenet_subsets_tools

MOST = 2000  # characters
PROJECT_FILES = tuple(
    str(pathlib.Path(module.__file__).parent) for module in (imagenet_reader, imagenet_subsets_tools)
) + (imagenet_subsets.__file__,)

plain_raises, plain_warns = pytest.raises, pytest.warns


@contextlib.contextmanager
def raises(*args, **options):
    """``pytest.raises``, which also checks the length of our messages."""
    with plain_raises(*args, **options) as raised:
        yield raised
    error, seen = raised.value, []
    while error is not None and error not in seen:
        if _is_ours(error):
            _check(str(error))
        seen.append(error)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def warns(*args, **options):
    """``pytest.warns``, which also checks the length of our messages."""
    with plain_warns(*args, **options) as warned:
        yield warned
    for warning in warned:
        if warning.category is UserWarning:
            _check(str(warning.message))


def _is_ours(error):
    """Whether code of this project raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and trace.tb_frame.f_code.co_filename.startswith(PROJECT_FILES)
    return ours or isinstance(error, imagenet_subsets.ArchiveError)


def _check(message):
    assert len(message) < MOST, f"a message of {len(message):,} characters: {message[:MOST]}"
