"""The console command ``imagenet-subsets``.

Each command is a function: its name after ``_`` is the name of the command, its docstring the help text, and its
return value the exit code (``None`` means 0). ``COMMANDS`` lists the functions with their arguments and an example.
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

# Importing datasets takes a second, so each command imports the modules that it needs: --help answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; ``None`` means ``sys.argv[1:]``.

    Returns:
        ``int``, the exit code: 0 on success, 1 after an error (one line on stderr) or a failed check, 130 after
        Ctrl-C. Wrong usage raises ``SystemExit(2)``, as in ``argparse``, and SIGTERM raises ``SystemExit(143)``.

    Example:

        >>> main(["sample", "standins", "--configs", "1pct"])
        standins: ILSVRC2012_img_train.tar (31 MB), ILSVRC2012_img_val.tar (77 MB)
        0
    """
    try:
        with _on_signals(os._exit):  # there is nothing to clean up, and imports may swallow exceptions
            arguments = parser().parse_args(argv)
            if arguments.command is None:
                return _print_overview(arguments.version)
            import imagenet_subsets  # noqa: F401, slow
        # Commits on the Hub are atomic, and an exception would wait for uploads in other threads.
        with _on_signals(os._exit if arguments.command is _push else _raise):
            return _run(arguments)
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _on_signals(end: Callable[[int], object]) -> Iterator[None]:
    """Context in which Ctrl-C and SIGTERM call ``end`` with the exit code, unless the program handles them itself."""
    defaults, before = (signal.SIG_DFL, signal.default_int_handler), {}

    def handle(number: int, frame: FrameType | None) -> None:
        end(128 + number)  # as in shells

    if threading.current_thread() is threading.main_thread():  # others may not set handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in defaults:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(code: int) -> None:
    raise KeyboardInterrupt if code == 128 + signal.SIGINT else SystemExit(code)


def _run(arguments: argparse.Namespace) -> int:
    try:
        return arguments.command(arguments) or 0
    except Exception as error:
        user_error = _as_user_error(error)
        if user_error is None:
            raise
        print(f"imagenet-subsets: error: {user_error}", file=sys.stderr)
        return 1


def _print_overview(version: bool) -> int:
    """Print the version if requested, otherwise the list of commands."""
    if version:
        import imagenet_subsets

        print(f"imagenet-subsets {imagenet_subsets.__version__}")
    else:
        parser().print_help()
    return 0


def _as_user_error(error: BaseException) -> BaseException | None:
    """The error to print as one line; ``None`` if users cannot cause it."""
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    if isinstance(error, DatasetGenerationError) and error.__cause__ is not None:
        error = error.__cause__  # the loader's error; datasets says only "an error occurred"
    return error if isinstance(error, (OSError, ValueError, DatasetsError, ModuleNotFoundError)) else None


def _sample(arguments: argparse.Namespace) -> None:
    """Make stand-ins for ImageNet with drawn images, in any layout."""
    from imagenet_subsets_tools.standins import ARCHIVES, make_standins

    folder = make_standins(arguments.directory, configs=arguments.configs, layout=arguments.layout)
    if arguments.layout == ARCHIVES:
        archives = sorted(folder.glob("ILSVRC2012_img_*.tar"))
        print(f"{folder}: " + ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.0f} MB)" for path in archives))
        return
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    print(f"{folder}: {arguments.layout}, {len(sizes):,} files ({sum(sizes) / 1e6:.0f} MB)")


def _demo(arguments: argparse.Namespace) -> None:
    """Make stand-ins, load them, show some rows and clean up."""
    from imagenet_subsets_tools.demo import run_demo

    run_demo()


def _check(arguments: argparse.Namespace) -> int:
    """Check which configs can be loaded from a folder."""
    from imagenet_subsets_tools.check import check_archives, format_report

    report = check_archives(arguments.data_dir, arguments.full, arguments.decode)
    print(json.dumps(report, indent=2) if arguments.json else format_report(report))
    return 0 if report["ok"] else 1


def _show(arguments: argparse.Namespace) -> None:
    """Draw examples of a config, or the number of images per class."""
    if arguments.config is None and not arguments.histogram:
        arguments.wrong_usage("pass a config or --histogram")
    if arguments.config is not None and arguments.data_dir is None:
        arguments.wrong_usage("drawing examples of a config needs --data-dir")
    lists = {"train_list": arguments.train_list, "validation_list": arguments.validation_list}
    lists = {name: path for name, path in lists.items() if path is not None}
    if (arguments.config == "custom") != ("train_list" in lists) or (lists and arguments.config != "custom"):
        arguments.wrong_usage("custom needs --train-list and accepts --validation-list; other configs accept neither")
    from imagenet_subsets_tools.pictures import draw_grid, draw_images_per_class

    figures = {}
    if arguments.config is not None:
        name = f"{arguments.config}-{arguments.split}.png"
        options = lists | {"classes": _classes(arguments)}
        figures[name] = draw_grid(arguments.config, arguments.data_dir, arguments.split, **options)
    if arguments.histogram:
        figures["images-per-class.png"] = draw_images_per_class()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        path = arguments.output_dir / name
        figure.savefig(path, dpi=figure.dpi)
        width, height = map(round, figure.get_size_inches() * figure.dpi)
        print(f"{path}: {width} x {height} pixels")


def _classes(arguments: argparse.Namespace) -> str | list[str] | None:
    """The value for the option ``classes`` of ``load_dataset``: the name of a class set, or a list of wnids."""
    from imagenet_reader.lists import label_of_wnid

    classes: list[str] | None = arguments.classes
    return classes[0] if classes is not None and len(classes) == 1 and classes[0] not in label_of_wnid() else classes


def _index(arguments: argparse.Namespace) -> int:
    """Index archives before the first load."""
    from imagenet_subsets_tools.indexes import index_archives

    failed = False
    for indexed in index_archives(arguments.archives, arguments.output):
        index = "the index was not cached" if indexed.index is None else f"index {indexed.index}"
        print(f"{indexed.path}: {indexed.images:,} images, {index}")
        failed = failed or indexed.index is None
    return 1 if failed else 0


def _cache(arguments: argparse.Namespace) -> None:
    """List what the caches hold, or remove entries."""
    from imagenet_subsets_tools.cache import format_entries, list_cache, remove

    entries = list_cache(arguments.cache_dir)
    if not arguments.remove:
        print(format_entries(entries))
        return
    for line in remove(entries, arguments.remove):
        print(line)


def _build(arguments: argparse.Namespace) -> None:
    """Build a repository for the Hub: Parquet shards and a card."""
    from imagenet_reader.text import format_bytes
    from imagenet_subsets_tools.build import build_parquet

    common = "num_proc", "label_names", "splits", "unlabeled", "train_list", "validation_list", "real_labels"
    options = {name: getattr(arguments, name) for name in common} | {"classes": _classes(arguments)}
    with _dask_executor(arguments) as executor:
        folder = build_parquet(
            arguments.output_dir, arguments.data_dir, arguments.configs, executor=executor, **options
        )
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
        arguments.wrong_usage("--dask needs Dask: pip install 'imagenet-subsets[cluster]'")
    with Client(arguments.dask) as client:
        yield client.get_executor()


def _push(arguments: argparse.Namespace) -> None:
    """Upload a built folder to the Hub, as a private repository."""
    from imagenet_subsets_tools.publish import load_calls, push_to_hub

    revision = push_to_hub(
        arguments.folder,
        arguments.repo_id,
        public_i_have_the_right_to_distribute=arguments.public_i_have_the_right_to_distribute,
    )
    print(f"{arguments.repo_id}: {arguments.folder} was uploaded, revision {revision}")
    for call in load_calls(arguments.folder, arguments.repo_id):
        print(call)


_CLASSES_HELP = "only these classes: imagenet100, or wnids"


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder for the archives, or the other layout")
    layouts = (
        "archives (default), class-tars, folders, kaggle-folders, kaggle-zip, kaggle-tar-gz, hub-parquet, hub-tar-gz, "
        "hub-folders, webdataset or tfds"
    )
    parser.add_argument("--layout", metavar="NAME", default="archives", help=layouts)
    configs, text = ["1pct", "10pct", "lt"], "configs to make images for (default: 1pct 10pct lt)"
    parser.add_argument("--configs", metavar="CONFIG", nargs="+", default=configs, help=text)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_dir", metavar="DIR", help="folder that holds ImageNet; a path or URL")
    full = "also compare the SHA-256 of the archives with the official ones"
    parser.add_argument("--full", action="store_true", help=full)
    parser.add_argument("--decode", action="store_true", help="also decode every listed image, on all cores")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "imagenet-subsets show [CONFIG] [options]"
    configs = ("1pct", "10pct", "lt", "full", "custom")
    parser.add_argument("config", metavar="CONFIG", nargs="?", choices=configs, help=f"one of {', '.join(configs)}")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ImageNet; a path or URL")
    parser.add_argument("--split", default="train", help="split to draw examples of (default: train)")
    parser.add_argument(
        "--histogram", action="store_true", help="also draw the training images per class; needs no ImageNet"
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", type=Path, default=Path(), help="folder for the PNG files (default: here)"
    )
    parser.add_argument("--train-list", metavar="FILE", help="for custom: file with one image per line")
    parser.add_argument("--validation-list", metavar="FILE", help="for custom: the same, for validation")
    parser.add_argument("--classes", metavar="C", nargs="+", help=_CLASSES_HELP)
    parser.set_defaults(wrong_usage=parser.error)


def _index_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archives", metavar="ARCHIVE", nargs="+", help="archive or folder of archives; a path or URL")
    parser.add_argument("--output", metavar="FILE", help="also write it to this file, to put beside a remote archive")


def _cache_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remove", metavar="NAME", nargs="+", default=[], help="entries to remove, as listed")
    parser.add_argument(
        "--cache-dir", metavar="DIR", type=Path, help="the cache_dir of load_dataset (default: the datasets cache)"
    )


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "imagenet-subsets build CONFIG ... --data-dir D --output-dir D [options]"
    parser.add_argument("configs", metavar="CONFIG", nargs="+", help="configs to build: 1pct, 10pct, lt, full, custom")
    parser.add_argument("--data-dir", metavar="DIR", required=True, help="folder that holds ImageNet; a path or URL")
    parser.add_argument("--output-dir", metavar="DIR", type=Path, required=True, help="folder to write to")
    writers = parser.add_mutually_exclusive_group()
    writers.add_argument("--num-proc", metavar="N", type=int, help="threads that write shards (default: 1)")
    writers.add_argument("--dask", metavar="ADDRESS", help="Dask scheduler whose workers write shards")
    parser.add_argument(
        "--label-names", metavar="KIND", choices=("wnid", "words"), default="wnid", help="wnid (default) or words"
    )
    parser.add_argument("--splits", metavar="S", nargs="+", help="only these; the official test only if listed")
    parser.add_argument("--unlabeled", action="store_true", help="for 1pct, 10pct: add the split unlabeled")
    parser.add_argument("--train-list", metavar="F", help="for custom: file with the training images")
    parser.add_argument("--validation-list", metavar="F", help="for custom: file with the validation images")
    parser.add_argument("--classes", metavar="C", nargs="+", help=_CLASSES_HELP)
    parser.add_argument("--real-labels", action="store_true", help="add a column with the ReaL labels")
    parser.set_defaults(wrong_usage=parser.error)


def _push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder written by build")
    parser.add_argument(
        "repo_id", metavar="REPO", help="repository, <namespace>/<name>; created as private if it doesn't exist"
    )
    parser.add_argument(
        "--public-i-have-the-right-to-distribute",
        action="store_true",
        help="allow an existing public repository; ImageNet's terms forbid it unless you were granted the right",
    )


# (function of the command, function that adds its arguments, example)
COMMANDS = (
    (_sample, _sample_arguments, "imagenet-subsets sample standins --configs 1pct"),
    (_demo, None, "imagenet-subsets demo"),
    (_check, _check_arguments, "imagenet-subsets check /data/imagenet --full"),
    (_show, _show_arguments, "imagenet-subsets show 1pct --data-dir /data/imagenet --histogram"),
    (_index, _index_arguments, "imagenet-subsets index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar"),
    (_cache, _cache_arguments, "imagenet-subsets cache --remove 1pct-1f6a2c9d"),
    (_build, _build_arguments, "imagenet-subsets build 1pct lt --data-dir /data/imagenet --output-dir hub"),
    (_push, _push_arguments, "imagenet-subsets push hub team/imagenet-subsets"),
)


def parser() -> argparse.ArgumentParser:
    """Make the ``argparse.ArgumentParser`` of the command line."""
    parser = argparse.ArgumentParser(
        prog="imagenet-subsets",
        description="ImageNet and its subsets as Hugging Face datasets.",
        epilog="example:\n  imagenet-subsets demo\n\nRun imagenet-subsets COMMAND --help for details.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command, add_arguments, example in COMMANDS:
        text = inspect.getdoc(command) or ""
        subparser = commands.add_parser(
            command.__name__[1:],
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.set_defaults(command=command)
        if add_arguments is not None:
            add_arguments(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
