"""The programs in ``tests/programs``, each of which a test runs in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = PROJECT / "tests" / "programs"


def command(program, *arguments):
    """The command line that runs a program, ``list[str]``."""
    return [sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)]


def environment(**variables):
    """The variables of this process, with the path of the package, and those given."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **variables}


def output(program, *arguments, timeout=240, cwd=None, **variables):
    """Run a program, which must succeed; return its output, ``str``."""
    done = subprocess.run(
        command(program, *arguments),
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
