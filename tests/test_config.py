"""The configuration: what is taken from where, and what a mistake in it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from sprint.config import Config, find, load, resolve
from sprint.errors import ConfigError
from tests.around import around

Load = Callable[..., Config]

EXAMPLE = """
forges:
  home: {kind: gitea, url: "https://git.example.org/api/v1/", token_file: ~/.config/sprint/home.token}
  github: {kind: github, token_env: GITHUB_TOKEN}
model:
  name: qwen3-coder
  base_url: https://openrouter.ai/api/v1
  api_key_env: OPENAI_API_KEY
  price: {input: 0.45, cached: 0.05, output: 1.80}
  fallbacks: [{name: other, base_url: "http://localhost:11434/v1/", api_key_file: keys/other}]
defaults:
  forge: home
  worker: local
  limits: {turns: 50, minutes: 20, usd: 2.0}
  sandbox: {kind: bwrap, network: none, setup_network: host, readable: [tools]}
repos:
  - Timmy_Foundation/timmy-home
  - {name: octo/widgets, forge: github, base: develop, setup: ["pip install ."], checks: ["pytest -q"],
     limits: {turns: 7, usd: null}, sandbox: none, pick: {max_attempts: 1}, publish: {draft: true},
     gateway: {connect: [files.example.net]}}
pick: {skip_labels: [epic, study, later], max_open_prs: 4}
publish: {branch: "bot/{number}", protected: [.github/]}
gateway: {indexes: {pypi: "https://mirror.example.org/simple/", npm: none}, connect: [.example.org], names: 9}
paths: {results: out, cache: ~/cache, workspaces: /var/tmp}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    def load_text(text: str, **environ: str) -> Config:
        (tmp_path / "sprint.yaml").write_text(dedent(text))
        return load(None, around(Path("/home/me"), environ, cwd=tmp_path))

    return load_text


def test_what_is_protected_adds_up_and_what_is_allowed_does_not(loaded: Load) -> None:
    config = loaded("""\
        publish: {protected: [infra/], allow: [AGENTS.md]}
        defaults: {publish: {protected: [deploy/]}}
        repos:
          - acme/widgets
          - {name: acme/tools, publish: {protected: [db/], allow: [.github/workflows/]}}
        """)
    widgets, tools = (repo.publish for repo in config.repos)
    assert (widgets.protected, widgets.allow) == (("infra/", "deploy/"), ("AGENTS.md",))
    assert (tools.protected, tools.allow) == (("infra/", "deploy/", "db/"), (".github/workflows/",))


def test_the_whole_example(loaded: Load, tmp_path: Path) -> None:
    config = loaded(EXAMPLE)
    home, widgets = config.repos
    assert config.forges["home"].url == "https://git.example.org"
    assert config.forges["home"].token_file == "/home/me/.config/sprint/home.token"
    assert config.model is not None
    assert config.model.base_url == "https://openrouter.ai/api/v1", "only a forge's address loses /api/v1"
    assert config.model.fallbacks[0].base_url == "http://localhost:11434/v1"
    assert config.model.fallbacks[0].api_key_file == str(tmp_path / "keys/other")
    assert (home.forge, home.limits.turns, home.limits.minutes, home.limits.usd) == ("home", 50, 20.0, 2.0)
    assert home.sandbox.readable == (str(tmp_path / "tools"),)
    assert (home.publish.branch, home.publish.protected, home.publish.max_files) == (
        "bot/{number}",
        (".github/",),
        50,
    )
    assert (widgets.forge, widgets.base, widgets.checks) == ("github", "develop", ("pytest -q",))
    assert (widgets.limits.turns, widgets.limits.minutes, widgets.limits.usd) == (7, 20.0, None)
    assert (widgets.sandbox.kind, widgets.sandbox.setup_network) == ("none", "host")
    assert (home.gateway.indexes.npm, home.gateway.connect) == ("none", (".example.org",))
    assert (widgets.gateway.connect, widgets.gateway.names) == (("files.example.net",), 9)
    assert (widgets.pick.max_attempts, widgets.pick.max_open_prs, widgets.pick.skip_labels) == (
        1,
        4,
        ("epic", "study", "later"),
    )
    assert (widgets.publish.draft, widgets.publish.branch, home.publish.draft) == (
        True,
        "bot/{number}",
        False,
    )
    assert (config.paths.results, config.paths.cache) == (tmp_path / "out", Path("/home/me/cache"))
    assert config.paths.workspaces == Path("/var/tmp")
    assert config.source == tmp_path / "sprint.yaml"


def test_parameters_of_the_model_are_passed_on_as_they_are(loaded: Load) -> None:
    model = loaded(
        "model: {temperature: 0, max_tokens: 9000, extra: {top_k: 20, provider: {only: [a]}}}"
    ).model
    assert model is not None
    assert (model.temperature, model.max_tokens) == (0.0, 9000)
    assert model.extra == {"top_k": 20, "provider": {"only": ["a"]}}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "repos:\nmodel:\npaths:\n", "defaults: {limits: }"]
)
def test_an_empty_file_is_as_none(loaded: Load, tmp_path: Path, text: str) -> None:
    config = loaded(text)
    assert (config.repos, config.model) == ((), None)
    assert config.paths.results == tmp_path / "results"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "repos: [a/b, {name: a/c, limits: {turns: many}}]",
            'repos[1].limits.turns: expected int, got str "many"',
        ),
        ("defaults: {limits: {turns: 0}}", "defaults.limits.turns: expected int >= 1, got int 0"),
        ("defaults: {limits: {turns: true}}", "defaults.limits.turns: expected int, got bool true"),
        ("defaults: {limits: {minutes: .inf}}", 'defaults.limits.minutes: expected float, got str ".inf"'),
        ("defaults: {limts: {}}", "defaults: unknown key limts; did you mean limits?"),
        ("reposs: []", "unknown key reposs; did you mean repos?"),
        ("limits: {turns: 3}", "unknown key limits; put it under defaults, or under one of repos"),
        (
            "qqq: 1",
            "unknown key qqq; known: forges, model, workers, backends, defaults, repos, gateway, pick,"
            " publish, follow, paths",
        ),
        ("- a", "the file: expected a mapping, got a list"),
        ("defaults: {name: a/b}", "defaults.name: a name belongs to one repository; move it under repos"),
        ("defaults: {checks: pytest -q}", 'got str "pytest -q"; write ["pytest -q"]'),
        ("defaults: {setup: [' ']}", "defaults.setup[0]: expected a command"),
        ("defaults: {sandbox: docker}", "defaults.sandbox.kind: expected one of bwrap, none, got str"),
        ("defaults: {worker: 1.50}", "defaults.worker: expected str, got float 1.5; put it in quotes"),
        ("defaults: {base: 'a..b'}", "defaults.base: 'a..b' is no branch name that git accepts"),
        ("defaults: {forge: nowhere}", "defaults.forge: no forge is called 'nowhere'; there are github"),
        ("repos: [a/b, 2024]", "repos[1]: expected a mapping, got int 2024"),
        ("repos: [a/b/c]", "repos[0].name: 'a/b/c' is not OWNER/REPO"),
        ("repos: [a/..]", "repos[0].name: 'a/..' is not OWNER/REPO"),
        ("repos: [{}]", "repos[0]: the key name is missing"),
        ("repos: [a/b, A/b]", "repos[1]: A/b is repos[0] already; keep one"),
        ("repos: [{name: a/b, forge: x}]", "repos[0].forge: no forge is called 'x'; there are github"),
        ("forges: {h: {kind: gitea}}", "forges.h.url: a gitea forge needs its address"),
        ("forges: {h: {url: https://x}}", "forges.h: the key kind is missing; one of gitea, forgejo, github"),
        (
            "forges: {h: {kind: gitee, url: https://x}}",
            "forges.h.kind: expected one of gitea, forgejo, github",
        ),
        ("forges: {h: {kind: gitea, url: git.example.org}}", "forges.h.url: expected an address such as"),
        ("forges: {h: {kind: gitea, url: 'https://x:port'}}", "forges.h.url: expected an address such as"),
        ("forges: {a/b: {kind: github}}", "forges.a/b: a name is made of letters"),
        (
            "forges: {h: {kind: github, token_file: a, token_env: B}}",
            "forges.h: token_file and token_env are both there; keep one",
        ),
        (
            "forges: {h: {kind: github}, i: {kind: github}}\nrepos: [a/b]",
            "repos[0].forge: there are several (h, i)",
        ),
        ("model: {price: {input: 1}}", "model.price: the key output is missing"),
        ("model: {fallbacks: [{nam: x}]}", "model.fallbacks[0]: unknown key nam; did you mean name?"),
        ("model: {temperature: 3}", "model.temperature: expected float <= 2"),
        ("model: {max_tokens: 0}", "model.max_tokens: expected int >= 1"),
        ("model: {extra: {stream: false}}", "model.extra: stream: sprint itself says that; take it out"),
        (
            "model: {fallbacks: [{extra: {tools: [], model: x}}]}",
            "model.fallbacks[0].extra: model, tools: sprint itself",
        ),
        ("defaults: {limits: {first_token_seconds: 0}}", "limits.first_token_seconds: expected float > 0"),
        (
            "gateway: {indexes: {npm: registry.example.org}}",
            "gateway.indexes.npm: expected an address such as",
        ),
        ("gateway: {indexes: {npm: 'https://me:pw@a.b'}}", "gateway.indexes.npm: it holds credentials"),
        ("gateway: {indexes: {nmp: x}}", "gateway.indexes: unknown key nmp; did you mean npm?"),
        ("gateway: {connect: ['*.example.org']}", 'gateway.connect[0]: str "*.example.org": expected a host'),
        ("gateway: {connect: [a.b, 10.0.0.1]}", 'gateway.connect[1]: str "10.0.0.1": expected a host'),
        ("gateway: {connect: [.com]}", "or .example.org for all below it"),
        ("gateway: {connect: ['https://a.b']}", 'gateway.connect[0]: str "https://a.b": expected a host'),
        ("gateway: {connect: [a.b:443]}", 'gateway.connect[0]: str "a.b:443": expected a host'),
        ("gateway: {connect: [A.b]}", 'gateway.connect[0]: str "A.b": expected a host in lower case'),
        ("gateway: {go_hosts: [.golang.org]}", 'gateway.go_hosts[0]: str ".golang.org": expected a host'),
        ("gateway: {names: -1}", "gateway.names: expected int >= 0, got int -1"),
        ("defaults: {gateway: {connect: [x]}}", 'defaults.gateway.connect[0]: str "x": expected a host'),
        ("publish: {branch: feat}", "publish.branch: it must hold {number}, and no other braces"),
        (
            "publish: {branch: '{number}-{title}'}",
            "publish.branch: it must hold {number}, and no other braces",
        ),
        ("publish: {branch: '{number'}", "publish.branch: it must hold {number}, and no other braces"),
        ("publish: {branch: 'a {number}'}", 'publish.branch: str "a {number}" makes no branch name'),
        ("publish: {branch: '{number}.lock'}", "makes no branch name that git accepts"),
        (
            "publish: {draft: yes}",
            'publish.draft: expected true or false, got str "yes"; write true or false',
        ),
        ("publish: {protected: [/etc]}", "publish.protected[0]: paths begin at the repository's root"),
        ("publish: {allow: [/etc]}", "publish.allow[0]: paths begin at the repository's root"),
        ("publish: {author_email: 'a <b>'}", "publish.author_email: expected one line of text without"),
        ("paths: {results: ''}", "paths.results: expected a path, got str"),
        ("paths: {results: 1}", "paths.results: expected str, got int 1; put it in quotes"),
        ("paths: {cache: ~other/x}", 'paths.cache: str "~other/x": write another user\'s home directory out'),
        (
            "pick: {skip_labels: [epic, 404]}",
            "pick.skip_labels[1]: expected str, got int 404; put it in quotes",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(loaded: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert str(caught.value).startswith("sprint.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repos: [a/b]\nrepos: [c/d]", "sprint.yaml:2: the key repos is on line 1 already; keep one"),
        ("repos:\n- name: a/b\n  name: a/c", "sprint.yaml:3: the key name is on line 2 already; keep one"),
        ("forges:\n  1: {kind: github}", "sprint.yaml:2: the key 1 is not text; put it in quotes"),
        ("repos: [a/b\nx: y", "sprint.yaml:2: not valid YAML: "),
        ("a: *b", "sprint.yaml:1: not valid YAML: "),
        ("x: !!python/object/apply:os.system [id]", "sprint.yaml:1: not valid YAML: "),
    ],
)
def test_a_mistake_in_the_yaml_is_named_by_its_line(loaded: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "defaults: {worker: hermess}",
            "defaults.worker: no worker is called 'hermess'; there are local, ",
        ),
        (
            "repos: [{name: a/b, worker: x}]",
            r"repos\[0\].worker: no worker is called 'x'; there are local, claude,",
        ),
        ("workers: {x: {kind: hermess}}", "workers.x.kind: expected one of local, .*, got 'hermess'"),
        ("workers: {x: {}}", "workers.x.kind: expected one of local, .*, got None"),
        ("workers: {x: {kind: command}}", "workers.x: the key command is missing"),
        ("workers: {x: {kind: local, command: y}}", "workers.x: unknown key command"),
        ("workers: {a b: {kind: local}}", "workers.a b: a name is made of letters"),
    ],
)
def test_a_worker_is_checked_when_it_is_read(loaded: Load, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded(f"{text}\nforges: {{github: {{kind: github}}}}")


def test_words_that_older_yaml_took_for_something_else_stay_words(loaded: Load) -> None:
    text = "defaults: {base: on, worker: y}\nworkers: {y: {kind: local}}\nforges: {no: {kind: github}}\n"
    config = loaded(f"{text}repos: [0o7/012]")
    assert (config.repos[0].base, config.repos[0].worker, config.repos[0].forge) == ("on", "y", "no")
    assert config.repos[0].name == "0o7/012"


def test_anchors_and_merge_keys_work(loaded: Load) -> None:
    config = loaded("repos: [{name: a/b, limits: &l {turns: 3}}, {name: a/c, limits: {<<: *l, minutes: 1}}]")
    assert [(repo.limits.turns, repo.limits.minutes) for repo in config.repos] == [(3, 30.0), (3, 1.0)]


SECRET = "ghp_" + "x" * 36


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (f"forges: {{h: {{kind: github, token: {SECRET}}}}}", "token_file or token_env"),
        (f"forges: {{h: {{kind: github, password: {SECRET}}}}}", "token_file or token_env"),
        (f"forges: {{h: {{kind: github, token_env: {SECRET}}}}}", "give the name of where it is kept"),
        (f"forges: {{h: {{kind: github, token_file: {SECRET}}}}}", "give the name of where it is kept"),
        (f"forges: {{h: {{kind: github, token_env: [{SECRET}]}}}}", "token_env: expected str"),
        (f"forges: {{h: {{kind: gitea, url: 'https://me:{SECRET}@x'}}}}", "take them out"),
        (f"model: {{api_key: {SECRET}}}", "api_key_env or api_key_file"),
        (f"model: {{base_url: 'https://{SECRET}@x/v1'}}", "take them out"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(loaded: Load, text: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert remedy in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://git.example.org", "https://git.example.org/api/v1", "https://git.example.org/"]
)
def test_without_a_file_gitea_comes_from_the_environment(tmp_path: Path, url: str) -> None:
    config = load(None, around(tmp_path, {"GITEA_URL": url}))
    assert (config.source, config.repos, config.paths.results) == (None, (), tmp_path / "results")
    assert config.forges["gitea"].url == "https://git.example.org"
    assert resolve(config, "a/b").forge == "gitea"
    assert resolve(config, "github:a/b").forge == "github"


def test_without_anything_the_forge_is_github(tmp_path: Path) -> None:
    config = load(None, around(tmp_path))
    assert list(config.forges) == ["github"]
    assert resolve(config, "a/b").forge == "github"


def test_a_file_without_forges_uses_the_environments(loaded: Load) -> None:
    config = loaded("repos: [a/b, 'github:c/d']", GITEA_URL="http://127.0.0.1:3000")
    assert [repo.forge for repo in config.repos] == ["gitea", "github"]


def test_a_bad_gitea_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GITEA_URL: expected an address"):
        load(None, around(tmp_path, {"GITEA_URL": "git.example.org"}))


@pytest.mark.parametrize("url", ["https://github.com", "https://api.github.com/"])
def test_githubs_own_address_is_no_enterprise_server(loaded: Load, url: str) -> None:
    assert loaded(f"forges: {{g: {{kind: github, url: '{url}'}}}}").forges["g"].url == ""
    enterprise = loaded("forges: {g: {kind: github, url: 'https://git.corp.example/api/v3'}}")
    assert enterprise.forges["g"].url == "https://git.corp.example"


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    cwd, home = tmp_path / "cwd", tmp_path / "home"
    named, variable = tmp_path / "named.yaml", tmp_path / "variable.yaml"
    places = [named, variable, cwd / "sprint.yaml", home / ".config/sprint/sprint.yaml"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    environ = {"SPRINT_CONFIG": str(variable)}
    assert find(Path("../named.yaml"), around(home, environ, cwd=cwd)) == named
    assert find(None, around(home, environ, cwd=cwd)) == variable
    assert find(None, around(home, cwd=cwd)) == cwd / "sprint.yaml"
    assert find(None, around(home, cwd=tmp_path)) == places[3]
    assert find(None, around(home, {"XDG_CONFIG_HOME": str(tmp_path)}, cwd=tmp_path)) is None
    with pytest.raises(ConfigError, match="--config: there is no file"):
        find(Path("gone.yaml"), around(home, environ, cwd=cwd))
    with pytest.raises(ConfigError, match="SPRINT_CONFIG: there is no file"):
        find(None, around(home, {"SPRINT_CONFIG": str(cwd)}, cwd=cwd))


def test_a_file_elsewhere_is_named_in_full_and_the_base_of_its_paths(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "sprint.yaml"
    file.parent.mkdir()
    file.write_text("paths: {results: out}")
    cwd = tmp_path / "cwd"
    assert load(file, around(cwd)).paths.results == tmp_path / "etc" / "out"
    file.write_text("x: 1")
    with pytest.raises(ConfigError, match=f"^{file}: unknown key x"):
        load(file, around(cwd))


@pytest.mark.parametrize(("data", "message"), [(b"\xff\xfe", "not UTF-8"), (b"#" * 1_000_001, "larger than")])
def test_what_is_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "sprint.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        load(None, around(tmp_path))


def test_resolving_a_name_from_the_command_line(loaded: Load) -> None:
    config = loaded(
        """
        forges: {home: {kind: gitea, url: https://x}, hub: {kind: github}}
        defaults: {forge: home, limits: {turns: 9}}
        repos: [{name: a/b, limits: {turns: 1}}, {name: a/both, base: x}, {name: a/both, forge: hub, base: y},
                {name: a/hub, forge: hub, base: z}]
        """
    )
    assert resolve(config, "A/B").limits.turns == 1
    assert resolve(config, "a/both").base == "x"
    assert resolve(config, "hub:a/both").base == "y"
    assert resolve(config, "a/hub").base == "z"
    other = resolve(config, "hub:c/d")
    assert (other.name, other.forge, other.limits.turns) == ("c/d", "hub", 9)
    assert resolve(config, "hub:a/b").limits.turns == 9, (
        "the same name on another forge is another repository"
    )
    with pytest.raises(ConfigError, match="no forge is called 'nope'; there are home, hub"):
        resolve(config, "nope:a/b")
    for name in ("", "a", "a/b/c", "../b", "a/b.git", "https://x/a/b", "-x/y"):
        with pytest.raises(ConfigError, match="is no repository"):
            resolve(config, name)


def test_a_name_that_could_be_on_several_forges_is_asked_back(loaded: Load) -> None:
    config = loaded("forges: {h: {kind: github}, i: {kind: gitea, url: https://x}}")
    with pytest.raises(ConfigError, match="a/b: on which forge"):
        resolve(config, "a/b")


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sprint.config import load;"
        "from sprint.surroundings import Surroundings; here = Path(sys.argv[1]);"
        "load(None, Surroundings({}, here, here)); print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert not {"yaml", "requests", "jinja2", "openai", "git"} & set(run.stdout.split())
