"""Downloads a model file from the Hugging Face hub: resumes what broke off, and verifies what arrived.

`hf_hub_download` of huggingface_hub 2.x throws a partial file away when its process ends, and believes a file of the
right size. So the transfer is done here, with huggingface_hub's own session, headers and lock, into the hub's cache:
`blobs/<etag>.incomplete` keeps what has arrived, and becomes `blobs/<etag>` when its size and SHA-256 are right.
Then it is registered in `snapshots/<commit>/` and `refs/main`, as that cache is documented, so other programs find it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import DownloadError
from leafwise.runtime.hub_errors import TransportError, explained, usable_settings
from leafwise.runtime.models import ModelEntry, resolve

Phase = Literal["download", "verify"]
Progress = Callable[[Phase, int, int], None]
"""Told (phase, bytes done, bytes in all), often."""

_SPARE_BYTES = 64 * 2**20
_LIBRARY = "leafwise"
_BRANCH = "main"
_PATIENCE = 3  # requests in a row that bring nothing
_log = logging.getLogger(__name__)


class _Remote(Contract):
    """What the hub promises about a file."""

    etag: str
    """Names the content."""
    commit: str
    """The repository's newest commit."""
    size: int
    """Bytes."""
    url: str
    """The file in that commit."""

    @property
    def sha256(self) -> str | None:
        """The file's SHA-256: the hub gives it as the etag of a large file, and another hash for small ones."""
        return _sha256_of(self.etag)


def pull(
    entry: ModelEntry, progress: Progress | None = None, *, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """Have a registry model on this machine, verified.

    A file that is already here is verified and given back without asking the hub. A transfer that breaks off, or is
    interrupted, leaves what has arrived; the next pull goes on from there.

    Args:
        entry: what to get. For a model that comes with a package nothing is downloaded.
        progress: told how far it is.
        endpoint: the hub's address; by default huggingface_hub's own setting (`HF_ENDPOINT`).
        cache: the hub's cache directory; by default huggingface_hub's own setting (`HF_HUB_CACHE`).

    Returns:
        The file's path in the cache: of the promised size, and of the promised SHA-256 where the hub gives one.

    Raises:
        ModelNotFoundError: the model comes with a package that is not installed.
        DownloadError: the hub cannot be reached or refuses, the transfer broke off, the disk is full, or the file that
            arrived is not the promised one (it is then removed).
    """
    if entry.repo_id is None:
        return resolve(entry.name).path
    report = progress or (lambda phase, done, total: None)
    cache = cache or Path(constants.HF_HUB_CACHE)
    folder = cache / repo_folder_name(repo_id=entry.repo_id, repo_type="model")
    with explained(entry, endpoint or constants.ENDPOINT):
        here = _cached(entry, folder, report)
        if here is not None:
            return here
        remote = _ask_hub(entry.repo_id, entry.filename, endpoint)
        lock = cache / ".locks" / folder.name / f"{remote.etag}.lock"
        for directory in (lock.parent, folder / "blobs"):
            directory.mkdir(parents=True, exist_ok=True)
        blob = folder / "blobs" / remote.etag
        with WeakFileLock(lock):  # the hub's own lock: two pulls at once do not write the same file
            _fetch(remote, blob, report)
            return _register(remote, folder, entry.filename, blob)


def _cached(entry: ModelEntry, folder: Path, report: Progress) -> Path | None:
    """The file in the hub's cache if it is whole. A damaged one is removed: another program may have put it there."""
    found = try_to_load_from_cache(entry.repo_id or "", entry.filename, cache_dir=folder.parent)
    if not isinstance(found, str):
        return None
    path = Path(found)
    blob = path.resolve()  # the blob's name is the etag; without symbolic links the name says nothing
    promised = _sha256_of(blob.name)
    if promised is None or _sha256(blob, report) == promised:
        return path
    _log.warning("%s is damaged (its SHA-256 is not the promised one): removed, and downloaded again", path)
    blob.unlink()
    path.unlink(missing_ok=True)
    return None


def _ask_hub(repo_id: str, filename: str, endpoint: str | None) -> _Remote:
    with usable_settings(endpoint or constants.ENDPOINT):
        url = hf_hub_url(repo_id, filename, revision=_BRANCH, endpoint=endpoint)
        answer = get_hf_file_metadata(url, library_name=_LIBRARY, endpoint=endpoint)
    etag, commit = answer.etag or "", answer.commit_hash or ""
    # Both become parts of paths, and the endpoint may be any server.
    if answer.size is None or not all(re.fullmatch(r"\w[\w.-]{0,127}", part, re.ASCII) for part in (etag, commit)):
        raise DownloadError(
            f"{endpoint or constants.ENDPOINT} does not answer like a Hugging Face hub",
            "check HF_ENDPOINT, and the proxy if there is one",
        )
    pinned = hf_hub_url(repo_id, filename, revision=commit, endpoint=endpoint)
    return _Remote(etag=etag, commit=commit, size=answer.size, url=pinned)


def _fetch(remote: _Remote, blob: Path, report: Progress) -> None:
    """Have the blob, verified."""
    if blob.exists():  # registering it was interrupted, or another pull held the lock
        _verify(blob, remote, report)
        return
    partial = blob.with_name(f"{blob.name}.incomplete")
    if partial.exists() and partial.stat().st_size > remote.size:
        partial.unlink()
    _check_space(remote, partial)
    _transfer(remote, partial, report)
    _verify(partial, remote, report)
    partial.replace(blob)


def _register(remote: _Remote, folder: Path, filename: str, blob: Path) -> Path:
    """Make the blob the file of the newest commit."""
    pointer = folder / "snapshots" / remote.commit / filename
    ref = folder / "refs" / _BRANCH
    for directory in (pointer.parent, ref.parent):
        directory.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a file system without symbolic links: the hub's library keeps the file itself there
        blob.replace(pointer)
    ref.write_text(remote.commit)
    return pointer


def _check_space(remote: _Remote, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    free = shutil.disk_usage(partial.parent).free
    if free < remote.size - have + _SPARE_BYTES:
        raise DownloadError(
            f"not enough disk space: {(remote.size - have) / 1e9:.1f} GB to download, {free / 1e9:.1f} GB free",
            f"free some space, or set HF_HUB_CACHE to a directory on a larger disk (now {partial.parents[2]})",
        )


def _transfer(remote: _Remote, partial: Path, report: Progress) -> None:
    """Append to the partial file until it has the promised size; a line that drops is taken up again."""
    failures = 0
    with partial.open("ab") as file:
        while (before := file.seek(0, os.SEEK_END)) < remote.size:
            try:
                _receive(remote, file, before, report)
            except HfHubHTTPError:
                raise
            except TransportError as error:
                done = file.seek(0, os.SEEK_END)
                failures = 1 if done > before else failures + 1
                _log.info("the transfer broke off at %d of %d bytes: %s", done, remote.size, error)
                if failures == _PATIENCE:
                    reason = str(error) or type(error).__name__
                    raise _broken_off(done, remote.size, reason) from error
                time.sleep(1)
        file.flush()
        os.fsync(file.fileno())


def _receive(remote: _Remote, file: BinaryIO, begin: int, report: Progress) -> None:
    """One request for what is missing."""
    # huggingface_hub's http_get would do, but it writes in pieces of 10 MB, and loses the last when the line drops.
    headers = build_hf_headers(library_name=_LIBRARY) | {"Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", remote.url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        if begin and response.status_code != 206:  # the server cannot resume, and sends the file from its beginning
            file.truncate(begin := 0)
        done = begin
        report("download", done, remote.size)
        for chunk in response.iter_bytes():
            file.write(chunk)
            done += len(chunk)
            report("download", done, remote.size)
            if done > remote.size:  # refused by the verification; no reason to fill the disk first
                return
        if done < remote.size:
            raise _broken_off(done, remote.size, "the hub sent no more")


def _broken_off(done: int, total: int, reason: str) -> DownloadError:
    message = f"the transfer broke off at {done:,} of {total:,} bytes: {reason}"
    return DownloadError(message, "pull again: it goes on from there")


def _verify(path: Path, remote: _Remote, report: Progress) -> None:
    """Refuse and remove a file that is not the promised one."""
    size = path.stat().st_size
    problem = ""
    if size != remote.size:
        problem = f"it has {size:,} bytes instead of {remote.size:,}"
    elif remote.sha256 is not None and (found := _sha256(path, report)) != remote.sha256:
        problem = f"its SHA-256 is {found[:12]}... instead of {remote.sha256[:12]}..."
    if problem:
        path.unlink()
        raise DownloadError(
            f"the downloaded file is corrupted and was removed: {problem}",
            "pull again; if it happens again, something between here and the hub changes files",
        )


def _sha256(path: Path, report: Progress) -> str:
    total, done, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(4 * 2**20):
            digest.update(chunk)
            done += len(chunk)
            report("verify", done, total)
    return digest.hexdigest()


def _sha256_of(etag: str) -> str | None:
    return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None
