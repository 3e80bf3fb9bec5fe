"""The console command ``imagenet-subsets``.

Each command is a function: its name after ``_`` is the name of the command, its docstring the help text, and its
return value the exit code (``None`` means 0).
"""

import argparse
import contextlib
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import FrameType
from typing import Any

# Importing datasets takes a second, so each command imports the modules that it needs: --help answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 after an error (one line on stderr) or a failed check, or 130 after Ctrl-C."""
    try:
        with _on_signals(at_once=True):  # there is nothing to clean up, and imports may swallow exceptions
            arguments = parser().parse_args(argv)
            if arguments.command is None and not arguments.version:
                parser().print_help()
                return 0
            import imagenet_subsets  # slow
        if arguments.version:
            print(f"imagenet-subsets {imagenet_subsets.__version__}")
            return 0
        # Commits on the Hub are atomic, and an exception would wait for uploads in other threads.
        with _on_signals(at_once=arguments.command is _push):
            return arguments.command(arguments) or 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from datasets.exceptions import DatasetGenerationError, DatasetsError

        cause = error.__cause__ if isinstance(error, DatasetGenerationError) else None  # which says only "an error"
        if not isinstance(cause or error, (OSError, ValueError, DatasetsError, ModuleNotFoundError)):
            raise  # users cannot cause it
        print(f"imagenet-subsets: error: {cause or error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _on_signals(at_once: bool) -> Iterator[None]:
    """Context in which Ctrl-C and SIGTERM exit or raise exceptions, unless the program handles them itself."""
    defaults, before = (signal.SIG_DFL, signal.default_int_handler), {}

    def handle(number: int, frame: FrameType | None) -> None:
        if at_once:
            os._exit(128 + number)  # as in shells
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():  # others may not set handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in defaults:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_Argument = tuple[str, dict[str, Any]]  # the name, and the options of ``ArgumentParser.add_argument``
_Command = Callable[[argparse.Namespace], int | None]
COMMANDS: list[tuple[_Command, str, str, Sequence[_Argument]]] = []  # see ``_command``


def _command(usage: str, example: str, *arguments: _Argument) -> Callable[[_Command], _Command]:
    """A decorator for a command: what follows its name in the usage and in the example, and its arguments."""

    def add(command: _Command) -> _Command:
        COMMANDS.append((command, usage, example, arguments))
        return command

    return add


def _argument(name: str, metavar: str, text: str, **options: Any) -> _Argument:
    return name, {"metavar": metavar, "help": text, **options}


def _flag(name: str, text: str) -> _Argument:
    return name, {"action": "store_true", "help": text}


_CONFIGS = "1pct", "10pct", "lt", "full", "custom"
_DATA_DIR = "folder that holds ImageNet; a path or URL"
_CLASSES = _argument("--classes", "C", "only these classes: a set such as imagenet100, or wnids", nargs="+")
_CLASS_ORDER = _argument("--class-order", "ORDER", "of their labels: sorted (default) or published")
_LAYOUTS = (
    "archives (default), class-tars, folders, kaggle-folders, kaggle-zip, kaggle-tar-gz, hub-parquet, hub-tar-gz, "
    "hub-folders, webdataset or tfds"
)
_OF_CONFIG = (
    _argument("--data-dir", "DIR", _DATA_DIR, required=True),
    _argument("--output-dir", "DIR", "folder to write to", type=Path, required=True),
    _flag("--unlabeled", "for 1pct, 10pct: add the split unlabeled"),
    _flag("--holdout", "for 1pct, 10pct, full: add the split holdout"),
    _argument("--train-list", "F", "for custom: file with the training images"),
    _argument("--validation-list", "F", "for custom: file with the validation images"),
    _CLASSES,
)


@_command(
    "DIR [options]",
    "standins --configs 1pct",
    _argument("directory", "DIR", "folder for the archives, or the other layout", type=Path),
    _argument("--layout", "NAME", _LAYOUTS, default="archives"),
    _argument("--configs", "CONFIG", "configs to draw (default: 1pct 10pct lt)", nargs="+", default=_CONFIGS[:3]),
)
def _sample(arguments: argparse.Namespace) -> None:
    """Make stand-ins for ImageNet with drawn images, in any layout."""
    from imagenet_subsets_tools.standins import make_standins

    folder = make_standins(arguments.directory, configs=arguments.configs, layout=arguments.layout)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    print(f"{folder}: {arguments.layout}, files: {len(sizes):,} ({sum(sizes) / 1e6:.0f} MB)")


@_command("", "")
def _demo(arguments: argparse.Namespace) -> None:
    """Make stand-ins, load them, show some rows and clean up."""
    from imagenet_subsets_tools.demo import run_demo

    run_demo()


@_command(
    "DIR [options]",
    "/data/imagenet --full",
    _argument("data_dir", "DIR", _DATA_DIR),
    _flag("--full", "also compare the SHA-256 of the archives with the official ones"),
    _flag("--decode", "also decode every listed image, on all cores"),
    _flag("--json", "print the report as JSON"),
)
def _check(arguments: argparse.Namespace) -> int:
    """Check which configs can be loaded from a folder."""
    from imagenet_subsets_tools.check import check_archives, format_report

    report = check_archives(arguments.data_dir, arguments.full, arguments.decode)
    print(json.dumps(report, indent=2) if arguments.json else format_report(report))
    return 0 if report["ok"] else 1


@_command(
    "[CONFIG] [options]",
    "1pct --data-dir /data/imagenet --histogram",
    _argument("config", "CONFIG", f"one of {', '.join(_CONFIGS)}", nargs="?", choices=_CONFIGS),
    _argument("--data-dir", "DIR", _DATA_DIR),
    _argument("--split", "SPLIT", "split to draw examples of (default: train)", default="train"),
    _flag("--histogram", "also draw the training images per class; needs no ImageNet"),
    _argument("--output-dir", "DIR", "folder for the PNG files (default: here)", type=Path, default=Path()),
    _argument("--train-list", "FILE", "for custom: file with one image per line"),
    _argument("--validation-list", "FILE", "for custom: the same, for validation"),
    _CLASSES,
)
def _show(arguments: argparse.Namespace) -> None:
    """Draw examples of a config, or the number of images per class."""
    config = arguments.config
    if config is None and not arguments.histogram:
        arguments.wrong_usage("pass a config or --histogram")
    from imagenet_subsets_tools.pictures import draw_grid, draw_images_per_class

    figures, options = {}, _chosen(arguments, "train_list", "validation_list", "classes")
    if config is not None:
        grid = draw_grid(config, arguments.data_dir, arguments.split, **options)
        figures[f"{config}-{arguments.split}.png"] = grid
    if arguments.histogram:
        figures["images-per-class.png"] = draw_images_per_class()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(arguments.output_dir / name, dpi=figure.dpi)
        width, height = map(round, figure.get_size_inches() * figure.dpi)
        print(f"{arguments.output_dir / name}: {width} x {height} pixels")


@_command(
    "CONFIG [options]",
    "lt --split validation --format paths",
    _argument("config", "CONFIG", f"one of {', '.join(_CONFIGS[:4])}", choices=_CONFIGS[:4]),
    _argument("--split", "SPLIT", "split to list (default: train)"),
    _argument("--format", "FORMAT", "names (default), paths, or published, line by line"),
    _CLASSES,
    _CLASS_ORDER,
)
def _list(arguments: argparse.Namespace) -> int:
    """Print the list of a split; needs no ImageNet."""
    from imagenet_subsets_tools.lists import list_lines

    options = _chosen(arguments, "split", "format", "classes", "class_order")
    try:
        sys.stdout.writelines(f"{line}\n" for line in list_lines(arguments.config, **options))
        sys.stdout.flush()
    except BrokenPipeError:  # as by head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return 128 + signal.SIGPIPE
    return 0


@_command(
    "WHAT [options]",
    "imagenet-1pct --data-dir /data/imagenet",
    _argument("what", "WHAT", "folder of images, built folder, or text file of names"),
    _argument("--data-dir", "DIR", "folder of ImageNet, to compare sizes of images"),
    _flag("--json", "print the report as JSON"),
)
def _identify(arguments: argparse.Namespace) -> int:
    """Say which published subset some images are."""
    from imagenet_subsets_tools.identify import identify

    report = identify(arguments.what, arguments.data_dir)
    lines = [f"{place + ': ' if place else ''}{part['text']}" for place, part in report["parts"].items()]
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(lines))
    return 0 if report["exact"] else 1


def _chosen(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those options that were passed; as ``classes``, the name of a class set or a list of wnids."""
    from imagenet_reader.lists import label_of_wnid

    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if len(options.get("classes", ())) == 1 and options["classes"][0] not in label_of_wnid():
        options["classes"] = options["classes"][0]
    return options


@_command(
    "ARCHIVE ... [options]",
    "ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar",
    _argument("archives", "ARCHIVE", "archive or folder of archives; a path or URL", nargs="+"),
    _argument("--output", "FILE", "also write it to this file, to put beside a remote archive"),
)
def _index(arguments: argparse.Namespace) -> int:
    """Index archives before the first load."""
    from imagenet_subsets_tools.indexes import index_archives

    failed = False
    for indexed in index_archives(arguments.archives, arguments.output):
        index = "the index was not cached" if indexed.index is None else f"index {indexed.index}"
        print(f"{indexed.path}: {indexed.images:,} images, {index}")
        failed = failed or indexed.index is None
    return int(failed)


@_command(
    "[options]",
    "--remove 1pct-1f6a2c9d",
    _argument("--remove", "NAME", "entries to remove, as listed", nargs="+", default=[]),
    _argument("--cache-dir", "DIR", "the cache_dir of load_dataset (default: the datasets cache)", type=Path),
)
def _cache(arguments: argparse.Namespace) -> None:
    """List what the caches hold, or remove entries."""
    from imagenet_subsets_tools.cache import format_entries, list_cache, remove

    entries = list_cache(arguments.cache_dir)
    for line in remove(entries, arguments.remove) if arguments.remove else [format_entries(entries)]:
        print(line)


@_command(
    "CONFIG ... --data-dir D --output-dir D [options]",
    "1pct lt --data-dir /data/imagenet --output-dir hub",
    _argument("configs", "CONFIG", f"configs to build: {', '.join(_CONFIGS)}", nargs="+"),
    _argument("--num-proc", "N", "threads that write shards (default: 1)", type=int),
    _argument("--dask", "ADDRESS", "Dask scheduler whose workers write shards"),
    _argument("--label-names", "KIND", "wnid (default) or words", choices=("wnid", "words"), default="wnid"),
    _argument("--splits", "S", "only these; the official test only if listed", nargs="+"),
    *_OF_CONFIG,
    _CLASS_ORDER,
    _flag("--real-labels", "add a column with the ReaL labels"),
    _argument("--resize", "N", "resize larger images to a shorter side of N pixels", type=int),
)
def _build(arguments: argparse.Namespace) -> None:
    """Build a repository for the Hub: Parquet shards and a card."""
    from imagenet_reader.text import format_bytes
    from imagenet_subsets_tools.build import build_parquet

    names = ["num_proc", "label_names", "splits", "unlabeled", "holdout", "train_list", "validation_list"]
    names += ["real_labels", "classes", "class_order", "resize"]
    with _dask_executor(arguments) as executor:
        places = arguments.output_dir, arguments.data_dir, arguments.configs
        folder = build_parquet(*places, executor=executor, **_chosen(arguments, *names))
    shards = [path.stat().st_size for path in folder.glob("*/*.parquet")]
    print(f"{folder}: {len(shards)} shards ({format_bytes(sum(shards))}) and README.md")


@contextlib.contextmanager
def _dask_executor(arguments: argparse.Namespace) -> Iterator[Executor | None]:
    """The executor of the Dask cluster that ``--dask`` names; ``None`` without ``--dask``."""
    if arguments.dask is None:
        yield None
        return
    try:
        from distributed import Client
    except ModuleNotFoundError:
        arguments.wrong_usage("--dask needs Dask: pip install -e '.[cluster]' in the clone")
    with Client(arguments.dask) as client:
        yield client.get_executor()


@_command(
    "CONFIG --data-dir D --output-dir D [options]",
    "1pct --data-dir /data/imagenet --output-dir tree",
    _argument("config", "CONFIG", f"one of {', '.join(_CONFIGS)}", choices=_CONFIGS),
    _argument("--tree", "KIND", "split (default), or imagenet: train/ and val/", default="split"),
    _argument("--image-bytes", "KIND", "archive (default) or benchmark", default="archive"),
    _argument("--link", "KIND", "hard or symbolic: link extracted images"),
    _argument("--num-proc", "N", "threads (default: 8)", type=int),
    _argument("--splits", "S", "only these", nargs="+"),
    *_OF_CONFIG,
    _flag("--sidecars", "also write labels.txt and meta.bin"),
)
def _export(arguments: argparse.Namespace) -> None:
    """Write images and lists of paths as files, for ImageFolder."""
    from imagenet_subsets_tools.export import export_images

    names = "tree", "image_bytes", "link", "num_proc", "splits", "unlabeled", "train_list", "validation_list"
    options = _chosen(arguments, *names, "classes", "holdout", "sidecars")
    folder = export_images(arguments.config, arguments.output_dir, arguments.data_dir, **options)
    count = sum(1 for _ in folder.glob("*/n*/*.JPEG"))
    print(f"{folder}: {count:,} images, with lists in {folder / 'lists'}")


@_command(
    "DIR REPO [options]",
    "hub team/imagenet-subsets",
    _argument("folder", "DIR", "folder written by build", type=Path),
    _argument("repo_id", "REPO", "repository, <namespace>/<name>; created as private if it doesn't exist"),
    _flag(
        "--public-i-have-the-right-to-distribute",
        "allow an existing public repository; ImageNet's terms forbid it unless you were granted the right",
    ),
)
def _push(arguments: argparse.Namespace) -> None:
    """Upload a built folder to the Hub, as a private repository."""
    from imagenet_subsets_tools.publish import load_calls, push_to_hub

    options = _chosen(arguments, "public_i_have_the_right_to_distribute")
    revision = push_to_hub(arguments.folder, arguments.repo_id, **options)
    print(f"{arguments.repo_id}: {arguments.folder} was uploaded, revision {revision}")
    for call in load_calls(arguments.folder, arguments.repo_id):
        print(call)


def parser() -> argparse.ArgumentParser:
    layout: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(
        prog="imagenet-subsets",
        description="ImageNet and its subsets as Hugging Face datasets.",
        epilog="example:\n  imagenet-subsets demo",
        **layout,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands (COMMAND --help has details)", metavar="COMMAND")
    for command, usage, example, arguments in COMMANDS:
        text, name = inspect.getdoc(command) or "", command.__name__[1:]
        subparser = commands.add_parser(
            name,
            usage=f"imagenet-subsets {name} {usage}",
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example:\n  imagenet-subsets {name} {example}".rstrip(),
            add_help=False,
            **layout,
        )
        subparser.set_defaults(command=command, wrong_usage=subparser.error)
        group = subparser.add_argument_group("arguments")  # one group for all, which takes fewer lines
        for argument, options in arguments:
            group.add_argument(argument, **options)
        group.add_argument("-h", "--help", action="help", help="show this help message and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
