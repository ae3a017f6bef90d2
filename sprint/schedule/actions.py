"""A workflow that ticks on the forge's own Actions, for who has no machine: `sprint schedule --actions`.

All it does is in plain shell, so that it is the same on Gitea, Forgejo and GitHub and runs on any image. What
has to outlive a job is kept in a ref of the repository that the workflow is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from sprint import __version__, files
from sprint.config import Config, ForgeKind
from sprint.cron_times import minutes_of, times
from sprint.errors import ConfigError, SprintError

_FOLDERS: dict[ForgeKind, str] = {"gitea": ".gitea", "forgejo": ".forgejo", "github": ".github"}
_NAME = "sprint.yml"
_LEAST_MINUTES = 5  # that GitHub keeps
# Before the job is ended by the forge or its runner and keeps nothing: after three hours, GitHub after six.
_TICK_MINUTES: dict[ForgeKind, int] = {"gitea": 150, "forgejo": 150, "github": 300}
_RESERVED = ("GITHUB_", "GITEA_", "FORGEJO_")  # how no secret's name may begin
_TOKENS: dict[ForgeKind, str] = {"gitea": "GITEA_TOKEN", "forgejo": "GITEA_TOKEN", "github": "GH_TOKEN"}

_MARK = "# `sprint schedule --actions` made this file; docs/without-cron.md says what is different here.\n"
_CREDENTIALS = '!f() { echo username=sprint; echo "password=$JOB_TOKEN"; }; f'
_WORKFLOW = """\
name: sprint
on:
  schedule:
    - cron: "{cron}"
  workflow_dispatch:
permissions:
  contents: write
concurrency:
  group: sprint
  cancel-in-progress: false
defaults:
  run:
    shell: bash
jobs:
  tick:
    runs-on: ubuntu-latest
    env:
      OPERATIONS: ${{{{ github.server_url }}}}/${{{{ github.repository }}}}.git
      RESULTS: {results}
      RESULTS_REF: refs/sprint/results
      GIT_CONFIG_COUNT: "1"
      GIT_CONFIG_KEY_0: credential.helper
      GIT_CONFIG_VALUE_0: {credentials}
      GIT_TERMINAL_PROMPT: "0"
    steps:
      - name: Install
        env:
          SPRINT_PACKAGE: ${{{{ vars.SPRINT_PACKAGE || 'sprint-backlog-burner=={version}' }}}}
        run: |
          as_root() {{ if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }}
          if ! {{ command -v git && command -v bwrap && command -v python3; }} >/dev/null; then
            as_root apt-get update -qq
            as_root apt-get install -y -qq git bubblewrap python3-venv
          fi
          # Ubuntu 24.04 has programs make no sandbox until it is told otherwise.
          if [ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]; then
            as_root sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
          fi
          if ! command -v sprint >/dev/null; then
            python3 -m venv "$HOME/.sprint"
            "$HOME/.sprint/bin/pip" install -q "$SPRINT_PACKAGE"
            echo "$HOME/.sprint/bin" >>"$GITHUB_PATH"
          fi
      - name: Fetch the configuration and the results so far
        env:
          JOB_TOKEN: ${{{{ github.token }}}}
          BRANCH: ${{{{ github.ref }}}}
        run: |
          git init -q .
          git fetch -q --depth 1 "$OPERATIONS" "$BRANCH"
          git checkout -q FETCH_HEAD
          rm -rf "$RESULTS" && mkdir -p -m 700 "$RESULTS"
          : >.there
          if git fetch -q --depth 1 "$OPERATIONS" "+$RESULTS_REF:$RESULTS_REF" 2>/dev/null; then
            git archive "$RESULTS_REF" | tar -x -C "$RESULTS"
            git rev-parse "$RESULTS_REF" >.there
          fi
          cp .there .before
          # What is added to these files is found again by their length now.
          (cd "$RESULTS" && find . -name "*.csv" -o -name "*.jsonl") | sed "s,^./,," >.names
          (cd "$RESULTS" && xargs -r wc -c) <.names >.lengths
          cat >.keep <<'END'
          # Puts what was added to the results, since they were kept last, behind what is in the ref: one
          # commit of this job, on top of what was there before it. Killed anywhere, it may be run again.
          export GIT_INDEX_FILE=.git/results-index GIT_AUTHOR_NAME=sprint GIT_AUTHOR_EMAIL=sprint@localhost
          export GIT_COMMITTER_NAME=sprint GIT_COMMITTER_EMAIL=sprint@localhost
          is_kept() {{
            git fetch -q --depth 2 "$OPERATIONS" "+$RESULTS_REF:$RESULTS_REF" 2>/dev/null || return 1
            git rev-list "$RESULTS_REF" | grep -q -x "$(cat .commit)"
          }}
          note() {{
            if [ -e .lengths.new ]; then mv .lengths.new .lengths; fi
            cp .commit .there
            rm .commit
          }}
          exec 9>.keeping
          flock 9 || true  # of a step that was ended in it
          if [ -e .commit ]; then
            if is_kept; then note; fi
            rm -f .commit
          fi
          for attempt in 1 2 3 4 5; do
            there=$(cat .there) before=$(cat .before)
            rm -f "$GIT_INDEX_FILE" .lengths.new
            touch .lengths.new
            if [ -n "$there" ]; then git read-tree "$there"; fi
            for name in results.csv spend heartbeat health pull_states.json alarms.json host-id; do
              if [ -e "$RESULTS/$name" ]; then (cd "$RESULTS" && find "$name" -type f); fi
            done | while read -r file; do
              cp "$RESULTS/$file" .added
              case "$file" in *.csv|*.jsonl)
                # Half a line is being written.
                if [ -n "$(tail -c 1 .added)" ]; then sed -i '$d' .added; fi
                echo "$(wc -c <.added) $file" >>.lengths.new
                if git cat-file blob "$there:$file" >.kept 2>/dev/null; then
                  length=$(awk -v file="$file" '$2 == file {{ print $1 }}' .lengths)
                  tail -c "+$((${{length:-0}} + 1))" .added >.news
                  if [ -z "$length" ]; then sed -i "/^finished_at,/d" .news; fi
                  cat .kept .news >.added
                fi
              esac
              git update-index --add --cacheinfo "100644,$(git hash-object -w --stdin <.added),$file"
            done
            tree=$(git write-tree)
            if [ -n "$there" ] && [ "$tree" = "$(git rev-parse "$there^{{tree}}")" ]; then exit 0; fi
            git commit-tree ${{before:+-p "$before"}} -m "Results" "$tree" >.commit
            if git push -q --force-with-lease="$RESULTS_REF:$there" "$OPERATIONS" \
              "$(cat .commit):$RESULTS_REF" 2>/dev/null || is_kept; then note; exit 0; fi
            rm .commit
            # Another job was faster: what this one has added goes behind what is there now.
            git rev-parse -q --verify "$RESULTS_REF" >.there || true
            cp .there .before
          done
          echo "the results of this job could not be kept" >&2
          exit 1
          END
      - name: Tick
        env:
          JOB_TOKEN: ${{{{ github.token }}}}
{secrets}
          TICK_MINUTES: ${{{{ vars.SPRINT_TICK_MINUTES || '{minutes}' }}}}
        run: |
          keep() {{ bash --noprofile --norc -e -o pipefail .keep; }}
          # A job that is ended from outside has no further step: rows are kept as they come, dollars each
          # minute.
          rows() {{ wc -c <"$RESULTS/results.csv" 2>/dev/null || true; }}
          (
            seconds=0 kept=$(rows)
            while [ ! -e .ended ] && kill -0 $$ 2>/dev/null; do
              sleep 1
              seconds=$((seconds + 1)) now=$(rows)
              if [ "$now" != "$kept" ] || [ $((seconds % 60)) = 0 ]; then keep || true; fi
              kept=$now
            done
            if [ ! -e .ended ]; then keep || true; fi
          ) &
          code=0
          env -u JOB_TOKEN timeout --signal=TERM --kill-after=120 "${{TICK_MINUTES}}m" \
            sprint --config {config} run || code=$?
          touch .ended
          wait
          exit "$code"
      - name: Keep the results
        if: always()
        env:
          JOB_TOKEN: ${{{{ github.token }}}}
        run: |
          bash --noprofile --norc -e -o pipefail .keep
"""


def write(config: Config) -> tuple[Path, list[str]]:
    """Write the workflow beside the configuration; returns where, and the secrets that it needs.

    Raises ConfigError where a job could not have what is configured, SprintError for somebody else's file.
    """
    if config.source is None or not config.repos:
        raise ConfigError(
            "nothing to schedule: list repositories under repos: in a sprint.yaml; see `sprint init`"
        )
    kinds = {config.forges[repo.forge].kind for repo in config.repos}
    if len(kinds) != 1:
        raise ConfigError(
            "repositories of more than one kind of forge: give each kind a sprint.yaml of its own"
        )
    folder = config.source.parent
    kind = kinds.pop()
    path = folder / _FOLDERS[kind] / "workflows" / _NAME
    text = _text(config, config.source, kind)
    with files.refusing("read", path, FileNotFoundError):
        if os.path.lexists(path) and (
            path.is_symlink() or not path.read_text("utf-8", "replace").startswith(_MARK)
        ):
            raise SprintError(f"{path} is not a file of `sprint schedule --actions`; move it away")
    files.make_folder(path.parent, mode=0o755)
    files.replace(path, text.encode(), mode=0o644)
    return path, list(dict(_secrets(config)).values())


def _text(config: Config, source: Path, kind: ForgeKind) -> str:
    every = max(min(minutes_of(repo.every, repo.name) for repo in config.repos), _LEAST_MINUTES)
    try:
        results = config.paths.results.relative_to(source.parent)
    except ValueError:
        raise ConfigError(
            f"paths.results: a job has nothing but {source.parent}: name a folder in it"
        ) from None
    secrets = dict(_secrets(config))
    return _MARK + _WORKFLOW.format(
        cron=times(every, 0),
        results=json.dumps(str(results)),
        credentials=json.dumps(_CREDENTIALS),
        version=__version__,
        minutes=_TICK_MINUTES[kind],
        secrets="\n".join(
            f"          {name}: ${{{{ secrets.{secret} }}}}" for name, secret in secrets.items()
        ),
        config=json.dumps(source.name),
    )


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Variables that a tick needs, and the secrets they are to be made from."""
    for name in dict.fromkeys(repo.forge for repo in config.repos):
        forge = config.forges[name]
        if forge.token_file:
            raise _no_file(f"forges.{name}.token")
        variable = forge.token_env or _TOKENS[forge.kind]
        yield variable, _secret(variable)
    models = [config.model] if config.model else []
    while models:
        model = models.pop()
        models += model.fallbacks
        if model.api_key_file:
            raise _no_file("model.api_key")
        if model.api_key_env:
            yield model.api_key_env, _secret(model.api_key_env)
    if config.fleet and config.fleet.database_file:
        raise _no_file("fleet.database")
    if config.fleet:
        yield config.fleet.database_env, _secret(config.fleet.database_env)


def _no_file(key: str) -> ConfigError:
    return ConfigError(f"{key}_file: a job has no such file: use {key}_env, and a secret of the repository")


def _secret(variable: str) -> str:
    return f"SPRINT_{variable.partition('_')[2]}" if variable.startswith(_RESERVED) else variable
