"""Trees made from dictionaries, and what policy says of a change from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sprint import git, workspace
from sprint.config import PublishConfig
from sprint.domain import ImportedWork, Refusal
from sprint.policy import judge

# Made up here in pieces, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
BASE_FILES: dict[str, bytes] = {
    "README.md": b"widgets\n",
    "lib/a.py": b"A = 1\n",
    ".github/workflows/ci.yml": b"on: push\n",
    "CODEOWNERS": b"* @ann\n",
    "big.json": b"{}\n" * 500_000,
    "settings.py": f'TOKEN = "{GITHUB}"\n'.encode(),
}


@dataclass
class Store:
    """A bare repository in which trees are made from dictionaries."""

    path: Path

    def tree(self, files: Mapping[str, object]) -> str:
        """Bytes are files, a string is a link's target, a tuple is (mode, object id)."""
        env = {"GIT_INDEX_FILE": str(self.path / "index")}
        (self.path / "index").unlink(missing_ok=True)
        lines = []
        for name, content in files.items():
            mode, sha = content if isinstance(content, tuple) else self._blob(content)
            lines.append(f"{mode} {sha}\t{name}".encode("utf-8", "surrogateescape"))
        protect = ("-c", "core.protectHFS=false", "-c", "core.protectNTFS=false")
        git.git(
            *protect,
            "update-index",
            "-z",
            "--index-info",
            git_dir=self.path,
            env=env,
            stdin=b"\0".join(lines),
        )
        return git.git("write-tree", git_dir=self.path, env=env).out.strip()

    def _blob(self, content: object) -> tuple[str, str]:
        data = content if isinstance(content, bytes) else str(content).encode()
        done = git.git("hash-object", "-w", "--stdin", git_dir=self.path, stdin=data)
        return ("100644" if isinstance(content, bytes) else "120000"), done.out.strip()

    def work(self, new: Mapping[str, object], base: Mapping[str, object] = BASE_FILES) -> ImportedWork:
        """What `new` changes (None deletes) in a commit of `base`."""
        commit = git.commit_tree(self.path, self.tree(base), [], "base", "a", "a@x")
        result = {name: content for name, content in {**base, **new}.items() if content is not None}
        tree = self.tree(result)
        return workspace.compared_with(self.path, commit, tree)

    def judge(self, new: Mapping[str, object], **options: object) -> tuple[Refusal, ...]:
        base = options.pop("base", BASE_FILES)
        known = options.pop("known", ())
        return judge(self.path, self.work(new, base), PublishConfig(**options), known=known)  # type: ignore[arg-type]


# Made up here in pieces, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
