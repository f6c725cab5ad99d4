"""Where the data sets' files lie: found in a folder, or fetched to the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eqprop.training.data.formats import DATA_VARIABLE, fail

SHOWN = 8


def locate(name: str, folders: Sequence[Path], choices: Sequence[str]) -> Path:
    """The first existing file: folder by folder, the `choices` in turn.

    Raises `FileNotFoundError`, with all the names and folders tried and what lies there, where there is
    none.
    """
    for folder in folders:
        for choice in choices:
            if (folder / choice).is_file():
                return folder / choice
    places = " or ".join(f"{folder} ({_content(folder)})" for folder in folders)
    raise FileNotFoundError(
        f"{name}: expected {' or '.join(choices)} in {places}, got no such file. "
        f"Point data_dir (--data-dir, {DATA_VARIABLE}) at the folder with the files, or leave "
        "both unset to download them."
    )


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "absent"
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"holds {', '.join(names[:SHOWN]) or 'nothing'}{more}"


def cache_dir() -> Path | None:
    """This package's folder in the user's cache; it need not exist. None where the user has no home."""
    import pooch  # type: ignore[import-untyped]

    try:
        folder = Path(pooch.os_cache("eqprop"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def download(url: str, md5: str, folder: Path | None, most: int) -> Path:
    """Path of the checked copy of `url` in `folder`, fetched unless it is there already.

    Raises `FileNotFoundError` where fetching or storing fails or there is no folder, `DataError` where
    the md5 of what came differs, or more than ``most`` bytes come.
    """
    import pooch

    file_name = url.rpartition("/")[2]
    if folder is None:
        raise FileNotFoundError(
            f"{file_name}: expected a folder to download it to, got a user without a home. Set HOME or "
            f"XDG_CACHE_HOME, or point data_dir (--data-dir, {DATA_VARIABLE}) at its folder."
        )
    bar = _Bar(file_name, most)
    fetch = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)
    try:
        return Path(pooch.retrieve(url, f"md5:{md5}", file_name, folder, downloader=fetch))
    except OSError as error:
        raise FileNotFoundError(
            f"{file_name}: expected a download from {url} to {folder} (there is no data_dir and no "
            f"{DATA_VARIABLE}), got '{error}'. Check the connection and that folder, or get the "
            f"file otherwise and point data_dir (--data-dir, {DATA_VARIABLE}) at its folder."
        ) from error
    except ValueError as error:
        fail(url, f"md5 {md5}", f"'{error}'", "Try again later, or use a local copy.", error)
    finally:
        bar.close()


class _Bar:
    """The progress bar interface that pooch calls, drawn by rich on standard error; it stops what is too
    long."""

    def __init__(self, label: str, most: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.total = 0
        self._left = most
        self._progress = Progress(console=Console(stderr=True))
        self._task = self._progress.add_task(label)

    def update(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("more bytes than the file has")
        self._progress.start()
        self._progress.update(self._task, total=self.total or None, advance=size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()
