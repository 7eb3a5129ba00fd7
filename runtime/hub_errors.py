"""What the failures of the Hugging Face hub, of the connection and of the disk mean to the user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]  # of httpx or httpx2

from leafwise.runtime.errors import DownloadError, LeafwiseError
from leafwise.runtime.models import ModelEntry

__all__ = ["TransportError", "explained", "usable_settings"]


@contextmanager
def explained(entry: ModelEntry, hub: str) -> Iterator[None]:
    """Turn what the network and the disk raise into errors with a hint.

    Args:
        entry: the model that is being downloaded.
        hub: the hub's address.

    Raises:
        DownloadError: in place of any error of huggingface_hub, its HTTP library or the operating system.
    """
    try:
        yield
    except HfHubHTTPError as error:
        raise _refused(entry, hub, error) from error
    except OfflineModeIsEnabled as error:
        raise DownloadError(
            f"{entry.name} is not here, and downloads are switched off", "unset HF_HUB_OFFLINE and pull again"
        ) from error
    except TransportError as error:
        raise DownloadError(
            f"cannot reach {hub}: {str(error) or type(error).__name__}",
            "check the connection, or download the .gguf file elsewhere and give its path",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DownloadError(
            f"cannot store {entry.filename}: {error.strerror or error}",
            "free some disk space and pull again: it goes on from where it was"
            if full
            else "check the hub's cache directory; HF_HUB_CACHE puts it elsewhere",
        ) from error


@contextmanager
def usable_settings(hub: str) -> Iterator[None]:
    """Say whose fault it is where the hub's library stumbles over what the environment says, before it asks anybody.

    Args:
        hub: the hub's address.

    Raises:
        DownloadError: the address, a token, a proxy or a file of certificates is none that can be used.
    """
    try:
        yield
    except (LeafwiseError, TransportError, OfflineModeIsEnabled):
        raise
    # whatever it, its HTTP library and that one's parts make of a setting: OSError, UnicodeError, ImportError ...
    except Exception as error:
        raise DownloadError(
            f"cannot ask {hub}: {' '.join(str(error).split()) or type(error).__name__}",
            "look at HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE "
            "in the environment",
        ) from error


def _refused(entry: ModelEntry, hub: str, error: HfHubHTTPError) -> DownloadError:
    """What the hub's status means."""
    status = error.response.status_code
    page = f"{hub}/{entry.repo_id}"
    if isinstance(error, GatedRepoError) or status in (401, 403):
        return DownloadError(
            f"the hub does not give {entry.repo_id} to you (status {status})",
            f"accept the licence at {page}, then run `hf auth login` (or set HF_TOKEN) and pull again",
        )
    if isinstance(error, EntryNotFoundError | RepositoryNotFoundError) or status == 404:
        return DownloadError(
            f"the hub has no {entry.filename} in {entry.repo_id}",
            f"it may have moved: look at {page}, download a .gguf file and give its path",
        )
    return DownloadError(f"the hub answers with status {status}", "try again later: what has arrived is kept")
