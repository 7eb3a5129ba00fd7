from __future__ import annotations

import hashlib
import random
import shutil
import socket
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_files import File
from hub_server import COMMIT, Hub, serving
from huggingface_hub import close_session

from leafwise.runtime import hub as hub_module
from leafwise.runtime.errors import DownloadError, ModelNotFoundError
from leafwise.runtime.hub import pull
from leafwise.runtime.models import DEFAULT_MODEL, MODELS, resolve

ENTRY = MODELS["llama3.2-1b"]
CONTENT = File().encode() + random.Random(1).randbytes(3_000_000)
HALF = len(CONTENT) // 2


@pytest.fixture
def hub() -> Iterator[Hub]:
    assert ENTRY.repo_id
    with serving(Hub(ENTRY.repo_id, ENTRY.filename, CONTENT)) as served:
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def files(cache: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in cache.rglob(f"blobs/{pattern}") if path.is_file())


def test_a_model_arrives_verified_where_the_hub_library_finds_it(hub: Hub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    seen: list[tuple[str, int, int]] = []
    path = pull(ENTRY, lambda *event: seen.append(event), endpoint=hub.url, cache=cache)
    assert path.read_bytes() == CONTENT
    assert path.parent.name == COMMIT
    assert [p.name for p in files(cache)] == [hashlib.sha256(CONTENT).hexdigest()]
    assert hf_hub_download(ENTRY.repo_id or "", ENTRY.filename, cache_dir=cache, local_files_only=True) == str(path)
    assert not scan_cache_dir(cache).warnings
    assert hub.ranges() == [None]
    for phase in ("download", "verify"):
        done = [(d, total) for name, d, total in seen if name == phase]
        assert done == sorted(done)
        assert done[-1] == (len(CONTENT), len(CONTENT))


def test_the_token_is_not_given_to_the_host_that_a_redirect_names(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirects, hub.cut_after, hub.after_cut = True, HALF, 200
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT
    assert hub.ranges() == [None, f"bytes={HALF}-"]
    tokens = {path.split("/")[1]: token for path, token in hub.tokens}
    assert tokens == {"bartowski": "Bearer hf_secret", "cdn": None}


def test_pulling_again_asks_nobody(hub: Hub, cache: Path) -> None:
    first = pull(ENTRY, endpoint=hub.url, cache=cache)
    asked = len(hub.requests)
    assert pull(ENTRY, endpoint=hub.url, cache=cache) == first
    assert len(hub.requests) == asked


def test_a_broken_transfer_is_resumed_by_the_next_pull(hub: Hub, cache: Path) -> None:
    hub.cut_after = HALF
    with pytest.raises(DownloadError, match="status 503") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert "what has arrived is kept" in caught.value.hint
    (partial,) = files(cache)
    assert partial.name.endswith(".incomplete")
    assert partial.stat().st_size == HALF
    hub.status, hub.sent = 200, 0
    hub.requests.clear()
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT
    assert hub.ranges() == [f"bytes={HALF}-"]
    assert hub.sent == len(CONTENT) - HALF
    assert not files(cache, "*.incomplete")


def test_a_broken_transfer_goes_on_by_itself(hub: Hub, cache: Path) -> None:
    hub.cut_after, hub.after_cut = HALF, 200
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT
    assert hub.ranges() == [None, f"bytes={HALF}-"]
    assert hub.sent == len(CONTENT)


def test_a_server_that_cannot_resume_sends_all_again(hub: Hub, cache: Path) -> None:
    hub.cut_after, hub.after_cut, hub.resumes = HALF, 200, False
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT
    assert hub.sent == HALF + len(CONTENT)


def test_a_server_that_sends_less_than_promised(hub: Hub, cache: Path) -> None:
    hub.promised_size = len(CONTENT) + 1
    with pytest.raises(DownloadError, match=f"broke off at {len(CONTENT):,} of {len(CONTENT) + 1:,} bytes"):
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert not list(cache.rglob("snapshots/*/*"))


def test_a_server_that_sends_more_than_promised(hub: Hub, cache: Path) -> None:
    hub.promised_size = HALF
    with pytest.raises(DownloadError, match=f"corrupted and was removed: it has .* instead of {HALF:,}"):
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert not files(cache)


def test_a_corrupted_file_is_refused_and_removed(hub: Hub, cache: Path) -> None:
    hub.etag = hashlib.sha256(CONTENT).hexdigest()
    hub.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match=r"corrupted and was removed: its SHA-256 is"):
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert not files(cache)
    hub.content = CONTENT
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT


def test_a_corrupted_partial_file_does_not_poison_the_next_pull(hub: Hub, cache: Path) -> None:
    hub.cut_after = HALF
    with pytest.raises(DownloadError):
        pull(ENTRY, endpoint=hub.url, cache=cache)
    files(cache)[0].write_bytes(b"?" * HALF)
    hub.status = 200
    with pytest.raises(DownloadError, match="corrupted"):
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_is_dropped(hub: Hub, cache: Path) -> None:
    blobs = cache / f"models--{(ENTRY.repo_id or '').replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(CONTENT).hexdigest()}.incomplete").write_bytes(b"x" * (len(CONTENT) + 1))
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT
    assert hub.ranges() == [None]


def test_a_file_that_rotted_in_the_cache_is_downloaded_again(hub: Hub, cache: Path) -> None:
    pull(ENTRY, endpoint=hub.url, cache=cache)
    files(cache)[0].write_bytes(CONTENT[:HALF])
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT


def test_a_blob_that_was_never_registered_is_not_downloaded_again(hub: Hub, cache: Path) -> None:
    path = pull(ENTRY, endpoint=hub.url, cache=cache)
    path.unlink()
    hub.requests.clear()
    assert pull(ENTRY, endpoint=hub.url, cache=cache) == path
    assert hub.ranges() == []


def test_a_file_system_without_symbolic_links(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = pull(ENTRY, endpoint=hub.url, cache=cache)
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    assert pull(ENTRY, endpoint=hub.url, cache=cache) == path


def test_a_small_file_has_no_sha256_and_is_taken_by_its_size(hub: Hub, cache: Path) -> None:
    hub.etag = "d" * 40
    assert pull(ENTRY, endpoint=hub.url, cache=cache).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (404, "EntryNotFound", "the hub has no", "give its path"),
        (404, "", "the hub has no", "give its path"),
        (404, "RepoNotFound", "the hub has no", "give its path"),
        (401, "GatedRepo", r"does not give .* \(status 401\)", "accept the licence at"),
        (403, "GatedRepo", r"\(status 403\)", "hf auth login"),
        (401, "", r"\(status 401\)", "HF_TOKEN"),
        (500, "", "status 500", "try again later"),
    ],
)
def test_the_hub_says_no(hub: Hub, cache: Path, status: int, code: str, message: str, hint: str) -> None:
    hub.status, hub.error_code = status, code
    with pytest.raises(DownloadError, match=message) as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message
    assert not files(cache)


def test_nobody_is_there(cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DownloadError, match=f"cannot reach {address}") as caught:
        pull(ENTRY, endpoint=address, cache=cache)
    assert "connection" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("ALL_PROXY", "foo://127.0.0.1:9"),
        ("HTTPS_PROXY", "127.0.0.1:notaport"),
        ("HF_TOKEN", "hf_\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_settings_that_nobody_can_be_asked_with(
    hub: Hub, cache: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    close_session()  # the library keeps its connections, and what it read for them
    with pytest.raises(DownloadError, match=rf"cannot ask {hub.url}: \S") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert variable in caught.value.hint


def test_a_hub_s_address_that_is_none(cache: Path) -> None:
    with pytest.raises(DownloadError, match="cannot ask http://"):
        pull(ENTRY, endpoint="http://[::1", cache=cache)


def test_downloads_are_switched_off(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="switched off") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert "HF_HUB_OFFLINE" in caught.value.hint


@pytest.mark.parametrize("etag", ["../../../escape", ".hidden", "a" * 500])
def test_an_etag_cannot_leave_the_cache(hub: Hub, cache: Path, etag: str) -> None:
    hub.etag = etag
    with pytest.raises(DownloadError, match="does not answer like a Hugging Face hub"):
        pull(ENTRY, endpoint=hub.url, cache=cache)


def test_a_server_that_is_no_hub(hub: Hub, cache: Path) -> None:
    hub.like_a_hub = False
    with pytest.raises(DownloadError, match="does not answer like a Hugging Face hub") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert "HF_ENDPOINT" in caught.value.hint


def test_the_disk_is_too_small(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1_000_000))
    with pytest.raises(DownloadError, match="not enough disk space") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert str(cache) in caught.value.hint
    assert hub.ranges() == []


def test_the_disk_fills_up(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub_module, "_receive", full)
    with pytest.raises(DownloadError, match="No space left on device") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert "free some disk space" in caught.value.hint


def test_the_cache_cannot_be_written(hub: Hub, cache: Path) -> None:
    cache.touch()
    with pytest.raises(DownloadError, match="cannot store") as caught:
        pull(ENTRY, endpoint=hub.url, cache=cache)
    assert "HF_HUB_CACHE" in caught.value.hint


def test_a_model_from_a_package_is_not_downloaded() -> None:
    assert pull(MODELS[DEFAULT_MODEL]) == resolve(DEFAULT_MODEL).path
    gone = MODELS[DEFAULT_MODEL].model_copy(update={"name": "gone", "package": "no_such_package_here"})
    with pytest.raises(ModelNotFoundError):
        pull(gone)
