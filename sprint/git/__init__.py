"""The one door to git.

Of the runner's own environment only the proxy variables (http_proxy, https_proxy, all_proxy, no_proxy) and
the certificate ones (GIT_SSL_CAINFO, GIT_SSL_CAPATH, SSL_CERT_FILE, SSL_CERT_DIR) reach git, and only where
it talks to a server.
"""

from sprint.git.merges import Merge, merge, patch_id
from sprint.git.objects import (
    EMPTY_TREE,
    Blob,
    CannotSign,
    commit_tree,
    init_bare,
    is_ancestor,
    log,
    ls_tree,
    pack_refs,
    read_blobs,
    read_refs,
    resolve,
    resolve_all,
    sizes,
    try_signing,
    update_ref,
)
from sprint.git.process import GitError, git, is_full_hex
from sprint.git.remote import Remote
from sprint.git.server_errors import Unexplained
from sprint.git.transfers import (
    PushResult,
    delete_ref,
    fetch,
    fetch_many,
    is_workflow_refusal,
    ls_remote,
    push,
    push_together,
)

__all__ = [
    "EMPTY_TREE",
    "Blob",
    "CannotSign",
    "GitError",
    "Merge",
    "PushResult",
    "Remote",
    "Unexplained",
    "commit_tree",
    "delete_ref",
    "fetch",
    "fetch_many",
    "git",
    "init_bare",
    "is_ancestor",
    "is_full_hex",
    "is_workflow_refusal",
    "log",
    "ls_remote",
    "ls_tree",
    "merge",
    "pack_refs",
    "patch_id",
    "push",
    "push_together",
    "read_blobs",
    "read_refs",
    "resolve",
    "resolve_all",
    "sizes",
    "try_signing",
    "update_ref",
]
