"""The keys of sprint.yaml, their types and their defaults."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[float, Meta(ge=0)]


ForgeKind = Literal["gitea", "forgejo", "github"]
SandboxKind = Literal["bwrap", "none"]
IndexKind = Literal["pypi", "npm", "go", "crates", "maven"]
WorkerKind = Literal["local", "command", "claude", "codex", "hermes", "kimi-code", "opencode", "sprite"]
BackendKind = Literal["local", "ssh", "sprites"]

# The kinds that need no address in the configuration, for there is one server that everybody means.
FORGE_SITES: dict[ForgeKind, str] = {"github": "https://github.com"}


class ForgeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A forge server. `url` without `/api/v1`; the token comes from exactly one place, or is detected.

    `webhook_secret_file`: what the forge signs its webhooks with.
    """

    kind: ForgeKind
    url: str = ""
    token_file: str = ""
    token_env: str = ""
    webhook_secret_file: str = ""

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
    kept_mb: Count = 512  # of what commands print, in the run's folder; more of it is not kept
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

    `names`: how many packages a run may ask for that no lock file of its base names, and no package that the
    index has told of depends on. `go_hosts`: hosts of Go modules besides those in go.mod and go.sum.
    `connect`: hosts, or `.suffix` for all below one, that TLS connections may go to; `sent_mb` and
    `received_mb` are all that a run may move over these.
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
    trusted: tuple[str, ...] = ()  # logins that count as having write access, where the forge does not tell


class FollowConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done for our pull requests until they are merged: how many rounds for each trigger, and dollars
    for one pull request in all, its first run included.

    `listen_to`: logins of bots whose remarks count, though they never have it go on once a person is needed.
    `debounce_seconds`: how long nobody must have said anything before a round begins. `update`: whether the
    base is merged in, without a worker, where it moved on: where the forge says that the branch must be up to
    date to be merged, or always.
    """

    enabled: bool = True
    review_rounds: Count = 3
    ci_rounds: Count = 2
    conflict_rounds: Count = 2
    update: Literal["never", "needed", "always"] = "needed"
    update_rounds: Count = 20
    usd: Positive | None = 6.0
    debounce_seconds: NonNegative = 60.0
    listen_to: tuple[str, ...] = ()


class PublishConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`protected` adds to what is protected by default (policy/protected.py); `allow` takes out of both.

    Paths from the repository's root; `**/` is any folder, `*` anything within a name. `via`: where the branch
    is pushed, the repository itself or a fork of our account. `signoff`: commits end with a Signed-off-by of
    their author. `sign`: the file of an ssh key that commits are signed with; "": none are.
    """

    branch: str = "feat/issue-{number}"
    via: Literal["repository", "fork"] = "repository"
    draft: bool = False
    unproven: Literal["draft", "ready"] = "draft"
    protected: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    max_files: Count = 50
    max_bytes: Count = 1_000_000
    author_name: str = "sprint"
    author_email: str = "sprint@localhost"
    signoff: bool = False
    sign: str = ""


class LocalWorkerConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="local"
):
    """The tool-calling loop of our own."""

    uses_model: ClassVar[bool] = True  # that of `model:`


class CommandWorkerConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="command"
):
    """Any command, run by the shell in the sandbox over the checkout.

    It gets the prompt on stdin, or in the file that $SPRINT_PROMPT names. What it did it may write into the
    file $SPRINT_SUMMARY, a question that a person has to answer first into $SPRINT_QUESTION. It is run
    again over the same checkout where its work holds surprises or makes checks fail, and told so.
    """

    uses_model: ClassVar[bool] = False
    command: Annotated[str, Meta(min_length=1)]
    prompt: Literal["stdin", "file"] = "stdin"


class AgentWorkerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every coding agent's section has.

    `model`: its name, else that of `model:`; `price` is that of a model which has no section there.
    `program`: where the agent is, else it is found on the PATH. `fallbacks`: names of workers that are tried
    in its place, in order, where it cannot begin.
    """

    uses_model: ClassVar[bool] = True
    model: str = ""
    price: Price | None = None
    program: str = ""
    fallbacks: tuple[str, ...] = ()


class ClaudeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="claude"):
    """Claude Code, over Anthropic's Messages."""


class CodexWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="codex"):
    """Codex, over OpenAI's Responses."""


class HermesWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="hermes"):
    """Hermes, over chat completions. `via`: its command line (`cli`), in the sandbox; its agent `server`,
    which works on this machine itself and needs `outside_sandbox`; `auto`: the server where allowed and up.

    The server's key is taken from one place, else from $API_SERVER_KEY or hermes' own .env.
    """

    via: Literal["auto", "cli", "server"] = "auto"
    outside_sandbox: bool = False
    server: str = "http://localhost:8642"
    server_key_file: str = ""
    server_key_env: str = ""


class KimiCodeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="kimi-code"):
    """Kimi Code, over chat completions."""


class OpencodeWorkerConfig(AgentWorkerConfig, frozen=True, kw_only=True, tag="opencode"):
    """OpenCode, over chat completions. Deprecated: prefer another one."""


SpriteAgent = Literal["claude", "codex", "hermes", "kimi-code", "opencode", "command"]


class SpriteWorkerConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="sprite"
):
    """An agent on a sprite of `backend` ("": the only one), which works while ticks come and go.

    `agent`: a kind of coding agent, or a `command` as of the worker of that kind. `program`: where the agent
    is there. `model` and its `price` as of AgentWorkerConfig.
    `sprites` are taken in this order, and made where they are missing, or those of `composition`, a file, by
    what suits the issue's labels; `bootstrap` are commands that are run
    on a new one before its clean state is kept. `ephemeral`: a fresh one for each run, called `name` and a
    part of the run's id, destroyed after. `key`: the agent's model is reached through the run's gateway, on
    backends on this machine, over ssh, and elsewhere at `public.url`; or with the key in `key_file`, which is
    put on the sprite, where the agent can read it. `git`: the repository comes as a bundle, or is fetched
    there with the token in `git_token_file`, which the agent gets, too, as $GH_TOKEN.
    """

    backend: str = ""
    agent: SpriteAgent = "claude"
    command: str = ""
    model: str = ""
    price: Price | None = None
    program: str = ""
    sprites: tuple[str, ...] = ("sprint-1",)
    composition: str = ""
    mode: Literal["persistent", "ephemeral"] = "persistent"
    name: str = "sprint-{repo}-{issue}"
    bootstrap: tuple[str, ...] = ()
    key: Literal["gateway", "file"] = "gateway"
    key_file: str = ""
    git: Literal["bundle", "token"] = "bundle"
    git_token_file: str = ""

    @property
    def uses_model(self) -> bool:
        return self.agent != "command"


WorkerConfig = LocalWorkerConfig | CommandWorkerConfig | AgentWorkerConfig | SpriteWorkerConfig
WORKER_KINDS: dict[WorkerKind, type[WorkerConfig]] = {
    "local": LocalWorkerConfig,
    "command": CommandWorkerConfig,
    "claude": ClaudeWorkerConfig,
    "codex": CodexWorkerConfig,
    "hermes": HermesWorkerConfig,
    "kimi-code": KimiCodeWorkerConfig,
    "opencode": OpencodeWorkerConfig,
    "sprite": SpriteWorkerConfig,
}


def agent_of_kind(name: str) -> AgentWorkerConfig | None:
    """A coding agent's section with its defaults, None where no agent is of that kind."""
    section = next((section for kind, section in WORKER_KINDS.items() if kind == name), None)
    return section() if section is not None and issubclass(section, AgentWorkerConfig) else None


def worker_names(workers: Iterable[str]) -> str:
    """What may be named as a worker, for people: those of the configuration, and agents by their kind."""
    agents = (kind for kind, section in WORKER_KINDS.items() if issubclass(section, AgentWorkerConfig))
    return ", ".join(dict.fromkeys((*workers, *agents)))


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Where sprites live. Each has a kind of its own."""


class LocalBackendConfig(BackendConfig, frozen=True, kw_only=True, tag="local"):
    """Folders on this machine. `sandbox` none: work there runs as anything else on this machine does."""

    path: str
    sandbox: SandboxKind = "bwrap"


class SshBackendConfig(BackendConfig, frozen=True, kw_only=True, tag="ssh"):
    """Folders on a Linux machine. `host` as `ssh` takes it: user@host, or a name from its configuration.

    `path`: the folder that holds them, from the home there. `port` 0: ssh's own choice. `sandbox` none: work
    there has all rights of that user; else it is done in bubblewrap, or not at all.
    """

    host: str
    path: str = "sprites"
    sandbox: SandboxKind = "bwrap"
    port: int = 0
    identity_file: str = ""
    config_file: str = ""


class SpritesBackendConfig(BackendConfig, frozen=True, kw_only=True, tag="sprites"):
    """sprites.dev. The token is taken from one place, else from $SPRITE_TOKEN, $SPRITES_TOKEN, or
    $FLY_API_TOKEN, which is exchanged for one of `organization` ($SPRITES_ORG, $FLY_ORG, personal)."""

    base_url: str = "https://api.sprites.dev"
    token_file: str = ""
    token_env: str = ""
    organization: str = ""


BACKEND_KINDS: dict[BackendKind, type[BackendConfig]] = {
    "local": LocalBackendConfig,
    "ssh": SshBackendConfig,
    "sprites": SpritesBackendConfig,
}


class RepoConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One repository with the defaults applied. `base` empty: its default branch.

    `setup`, `build` and `checks` are shell commands; None has them found, an empty list means none. What
    `setup` makes is kept, `build` is run each time; where `setup` is configured, no `build` is found.
    `every`: minutes from tick to tick, for `sprint schedule`; None: as asked there. `dashboard`: one issue
    there says what is done.
    """

    name: str
    forge: str = ""
    worker: str = "local"
    base: str = ""
    setup: tuple[str, ...] | None = None
    build: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    every: Count | None = None
    dashboard: bool = False
    limits: Limits = field(default_factory=Limits)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    pick: PickConfig = field(default_factory=PickConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    follow: FollowConfig = field(default_factory=FollowConfig)


class MonitorConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`hermes_server`: an address that answers while hermes' server is up; None: its usual one, where hermes
    is set up; "": never asked. `fail_below` in percent. `share`: the folder that scheduled monitors write the
    report to; `address`: where people find it, or the live page. Pull requests link to runs there."""

    hermes_server: str | None = None
    share: str = ""
    address: str = ""
    failures_in_a_row: Count = 5
    fail_below: Annotated[float, Meta(ge=0, le=100)] | None = None


class ScheduleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`jobs`: how many repositories of one line of `sprint schedule` are worked on at once, at most."""

    jobs: Count = 8


class NotifyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where alarms go besides the report: apprise URLs, one a line, from one place, for they hold secrets."""

    urls_file: str = ""
    urls_env: str = ""
    pull_requests: bool = False  # also tell of each pull request opened


class FleetConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hosts that share the work, by one PostgreSQL. Its URL, with the password in it, is in one place.

    `reserve_usd`: what a run keeps of the day's ceiling where `limits.usd` is null or the price is unknown.
    `lost_minutes`: how long a host is not seen before others settle the detached runs that it began.
    """

    database_file: str = ""
    database_env: str = ""
    reserve_usd: Positive = 2.0
    lost_minutes: Positive = 15.0


class PublicConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where sprites and forges reach `sprint serve --public`. `url`: its address ("": $WEBHOOK_BASE_URL).

    Its TLS is its own, with a `certificate` and its `certificate_key` (PEM files), or that of a reverse proxy
    on this machine, which `proxy` says is there.
    """

    url: str = ""
    certificate: str = ""
    certificate_key: str = ""
    proxy: bool = False


class Paths(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Absolute once loaded. Sizes in megabytes: how much a sweep leaves of runs' folders, workspaces and
    environments, each. What a run under way uses stays whatever its size.
    """

    results: Path = Path("results")
    cache: Path = Path("~/.cache/sprint")
    workspaces: Path = Path("/tmp")  # noqa: S108 - a run's folder in it is made with mkdtemp
    results_mb: Count = 10_000
    workspaces_mb: Count = 50_000
    environments_mb: Count = 20_000


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
    backends: dict[str, BackendConfig] = field(default_factory=dict)  # by name
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    fleet: FleetConfig | None = None
    public: PublicConfig = field(default_factory=PublicConfig)
    source: Path | None = None

    def worker(self, name: str) -> WorkerConfig | None:
        """The worker of that name, else the coding agent of that kind as it is without a section."""
        return self.workers.get(name) or agent_of_kind(name)
