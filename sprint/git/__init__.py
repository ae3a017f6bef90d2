"""The one door to git.

Of the runner's own environment only the proxy variables (http_proxy, https_proxy, all_proxy, no_proxy) and
the certificate ones (GIT_SSL_CAINFO, GIT_SSL_CAPATH, SSL_CERT_FILE, SSL_CERT_DIR) reach git, and only where
it talks to a server.
"""

from sprint.git.objects import (
    Blob,
    commit_tree,
    empty_tree,
    init_bare,
    is_ancestor,
    log,
    ls_tree,
    pack_refs,
    read_blobs,
    read_refs,
    resolve,
    sizes,
    update_ref,
)
from sprint.git.process import GitError, git, is_full_hex
from sprint.git.remote import Remote
from sprint.git.server import (
    PushResult,
    delete_ref,
    fetch,
    is_workflow_refusal,
    ls_remote,
    push,
)
from sprint.git.server_errors import Unexplained

__all__ = [
    "Blob",
    "GitError",
    "PushResult",
    "Remote",
    "Unexplained",
    "commit_tree",
    "delete_ref",
    "empty_tree",
    "fetch",
    "git",
    "init_bare",
    "is_ancestor",
    "is_full_hex",
    "is_workflow_refusal",
    "log",
    "ls_remote",
    "ls_tree",
    "pack_refs",
    "push",
    "read_blobs",
    "read_refs",
    "resolve",
    "sizes",
    "update_ref",
]
