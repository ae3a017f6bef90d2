"""The keys of sprint.yaml, their types and their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[float, Meta(ge=0)]


ForgeKind = Literal["gitea", "forgejo", "github"]
SandboxKind = Literal["bwrap", "none"]

# The kinds that need no address in the configuration, for there is one server that everybody means.
FORGE_SITES: dict[ForgeKind, str] = {"github": "https://github.com"}


class ForgeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A forge server. `url` without `/api/v1`; the token comes from exactly one place, or is detected."""

    kind: ForgeKind
    url: str = ""
    token_file: str = ""
    token_env: str = ""

    @property
    def site(self) -> str:
        """Its address, also where that is the kind's own; "" where it is missing."""
        return self.url or FORGE_SITES.get(self.kind, "")


class Price(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dollars per million tokens."""

    input: NonNegative
    output: NonNegative
    cached: NonNegative | None = None  # None: as input


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model behind an OpenAI-compatible API. `context` in tokens, where the server cannot be asked.

    `max_tokens` of one answer; `extra`: further parameters of each request, passed on as they are.
    """

    name: str = ""
    base_url: str = ""
    api_key_env: str = ""
    api_key_file: str = ""
    price: Price | None = None
    context: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Count | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    fallbacks: tuple[ModelConfig, ...] = ()


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ceilings of one run; `usd_per_day` of all runs that share the results directory."""

    turns: Count = 200
    minutes: Positive = 30.0
    tokens: Count | None = None
    usd: Positive | None = 2.0
    usd_per_day: Positive | None = 20.0
    command_seconds: Positive = 120.0
    first_token_seconds: Positive = 600.0  # a slow server reads a long prompt for minutes
    silence_seconds: Positive = 180.0  # from then on
    check_rounds: Annotated[int, Meta(ge=0)] = 2
    check_minutes: Positive = 15.0
    paused_hours: Positive = 24.0  # the longest rest of a run that waits for a model, a forge or a host


class SandboxConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where commands run. `readable`: more host paths to show read-only. Sizes in megabytes.

    `setup_network` is what set-up reaches: nothing, the gateway's package indexes and its `connect` list, or
    at the base all that this machine does; a proof, whose code may be the agent's, never gets the last.
    """

    kind: SandboxKind = "bwrap"
    network: Literal["none", "host"] = "none"
    setup_network: Literal["none", "registries", "host"] = "registries"
    readable: tuple[str, ...] = ()
    memory_mb: Count = 4096
    processes: Count = 512
    file_mb: Count = 512
    disk_mb: Count = 4096
    files: Count = 500_000

    @property
    def is_confined(self) -> bool:
        """False: commands run as anything else on this machine does."""
        return self.kind != "none"


class IndexesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Package indexes by address. "" is what the index's own client on this machine uses; "none" is off."""

    pypi: str = ""
    npm: str = ""
    go: str = ""
    crates: str = ""
    maven: str = ""


class GatewayConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can be reached from the sandbox through the gateway. Sizes in megabytes.

    `names`: how many packages a run may ask for that the lock files of its base do not have. `go_hosts`:
    hosts of Go modules besides those in go.mod and go.sum. `connect`: hosts, or `.suffix` for all below one,
    that TLS connections may go to; `sent_mb` and `received_mb` are all that a run may move over these.
    """

    indexes: IndexesConfig = field(default_factory=IndexesConfig)
    names: Annotated[int, Meta(ge=0)] = 300
    go_hosts: tuple[str, ...] = ()
    connect: tuple[str, ...] = ()
    sent_mb: Count = 16
    received_mb: Count = 4096


class PickConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which issues are taken. `labels`: only those with one of them. `order`: the oldest first, or those with
    these labels first, one label after the other, and then the rest."""

    labels: tuple[str, ...] = ()
    order: Literal["oldest"] | tuple[str, ...] = "oldest"
    skip_labels: tuple[str, ...] = ("epic", "study")
    max_open_prs: Count = 5
    max_attempts: Count = 3
    backoff_minutes: NonNegative = 60.0
    at_once: Count = 1  # unsettled runs of a repository, on all hosts together
    worker_labels: bool = False  # whether a label `worker:NAME` on an issue chooses who works on it
    authors: Literal["write-access", "anyone"] = "write-access"


class PublishConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`protected` adds to what is protected by default (policy/protected.py); `allow` takes out of both.

    Paths from the repository's root; `**/` is any folder, `*` anything within a name.
    """

    branch: str = "feat/issue-{number}"
    draft: bool = False
    unproven: Literal["draft", "ready"] = "draft"
    protected: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    max_files: Count = 50
    max_bytes: Count = 1_000_000
    author_name: str = "sprint"
    author_email: str = "sprint@localhost"


class LocalWorkerConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="local"
):
    """The tool-calling loop of our own."""


class CommandWorkerConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="command"
):
    """Any command, run by the shell in the sandbox over the checkout.

    It gets the prompt on stdin, or in the file that $SPRINT_PROMPT names. What it did it may write into the
    file $SPRINT_SUMMARY, a question that a person has to answer first into $SPRINT_QUESTION.
    """

    command: Annotated[str, Meta(min_length=1)]
    prompt: Literal["stdin", "file"] = "stdin"


class AgentWorkerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every coding agent's section has.

    `model`: its name, else that of `model:`. `program`: where the agent is, else it is found on the PATH.
    `fallbacks`: names of workers that are tried in its place, in order, where it cannot begin.
    """

    model: str = ""
    program: str = ""
    fallbacks: tuple[str, ...] = ()


class ClaudeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="claude"):
    """Claude Code, over Anthropic's Messages."""


class CodexWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="codex"):
    """Codex, over OpenAI's Responses."""


class HermesWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="hermes"):
    """Hermes, over chat completions. `via`: its command line, in the sandbox."""

    via: Literal["cli"] = "cli"


class KimiCodeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="kimi-code"):
    """Kimi Code, over chat completions."""


class OpencodeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="opencode"):
    """OpenCode, over chat completions. Deprecated: prefer another one."""


WorkerConfig = LocalWorkerConfig | CommandWorkerConfig | AgentWorkerConfig
WORKER_KINDS: dict[str, type[WorkerConfig]] = {
    "local": LocalWorkerConfig,
    "command": CommandWorkerConfig,
    "claude": ClaudeWorkerConfig,
    "codex": CodexWorkerConfig,
    "hermes": HermesWorkerConfig,
    "kimi-code": KimiCodeWorkerConfig,
    "opencode": OpencodeWorkerConfig,
}


class RepoConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One repository with the defaults applied. `base` empty: its default branch.

    `setup`, `build` and `checks` are shell commands; None has them found, an empty list means none. What
    `setup` makes is kept, `build` is run each time; where `setup` is configured, no `build` is found.
    `every`: minutes from tick to tick, for `sprint schedule`; None: as asked there.
    """

    name: str
    forge: str = ""
    worker: str = "local"
    base: str = ""
    setup: tuple[str, ...] | None = None
    build: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    every: Count | None = None
    limits: Limits = field(default_factory=Limits)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    pick: PickConfig = field(default_factory=PickConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)


class MonitorConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`hermes_server`: an address that answers while hermes' server is up; None: its usual one, where hermes
    is set up; "": never asked. `fail_below` in percent."""

    hermes_server: str | None = None
    failures_in_a_row: Count = 5
    fail_below: Annotated[float, Meta(ge=0, le=100)] | None = None


class NotifyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where alarms go besides the report: apprise URLs, one a line, from one place, for they hold secrets."""

    urls_file: str = ""
    urls_env: str = ""
    pull_requests: bool = False  # also tell of each pull request opened


class Paths(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Absolute once loaded."""

    results: Path = Path("results")
    cache: Path = Path("~/.cache/sprint")
    workspaces: Path = Path("/tmp")  # noqa: S108 - a run's folder in it is made with mkdtemp


class Config(Struct, frozen=True, kw_only=True):
    """Everything, validated. `source` is the file it came from, None where there is none."""

    forges: dict[str, ForgeConfig]
    model: ModelConfig | None
    repos: tuple[RepoConfig, ...]
    defaults: RepoConfig  # what a repository named on the command line alone gets; its name is ""
    paths: Paths
    workers: dict[str, WorkerConfig] = field(
        default_factory=lambda: {"local": LocalWorkerConfig()}
    )  # by name
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    source: Path | None = None
