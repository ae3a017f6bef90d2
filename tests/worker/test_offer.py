"""What a model is offered: tools, guides that fit, and a prompt that leaves room for the work."""

from __future__ import annotations

import json

import pytest

from sprint.domain import Endpoint, Prompt, Secret
from sprint.scope.layout import drawn
from sprint.worker.local import offer
from tests.some_task import PASSED, a_run, a_task, an_issue

BODY = """\
`line_total(3, 1000, discount=10)` should be 2700: ten per cent off 3000.
It answers 2990, as if the discount were cents. The docstring says that it is a percentage.
"""


def names(forge_kind: str, window: int) -> list[str]:
    return list(offer.guides(forge_kind, window))


def test_guides_are_offered_where_they_fit() -> None:
    both = ["systematic-debugging", "test-driven-development"]
    assert names("gitea", 128_000) == names("forgejo", 64_000) == [*both, "gitea-workflow-automation"]
    assert names("github", 128_000) == both
    assert names("gitea", 63_999) == []


@pytest.mark.parametrize(("context", "has_guides"), [(128_000, True), (32_768, False), (None, True)])
def test_the_prompt_names_the_tools_that_are_offered(context: int | None, has_guides: bool) -> None:
    endpoint = Endpoint("m", "https://api.example.org/v1", Secret("k"), context=context)
    system = offer.prompt(a_task(forge_kind="gitea"), endpoint).system
    assert ("`read_skill`" in system) is has_guides
    offered = offer.tools(offer.guides("gitea", 128_000 if has_guides else 1000))
    listed = ", ".join(f"`{tool['function']['name']}`" for tool in offered)
    assert f"through your tools ({listed}) until you call `finish`" in system


def tokens(prompt: Prompt, tools: object) -> float:
    """Few models make more of English and code than one token of 3.5 characters."""
    return (len(prompt.system) + len(prompt.user) + len(json.dumps(tools))) / 3.5


@pytest.mark.parametrize("kind", ["gitea", "github"])
@pytest.mark.parametrize("folders", [2, 400])
def test_a_small_issue_costs_at_most_3000_tokens_with_tools(kind: str, folders: int) -> None:
    task = a_task(
        run=a_run(base_checks=(PASSED,)),
        checks=(PASSED,),
        issue=an_issue(body=BODY),
        forge_kind=kind,
        setup=("pip install -e .[test]",),
        tools=("python3 3.11.2", "git 2.39.5", "make 4.3", "node 20.19.2"),
        history=("Commits that name it: none", "Branches named after it: none", "Pull requests: none"),
        layout=drawn([f"package{n}/module_{m}.py" for n in range(folders) for m in range(9)]),
    )
    assert tokens(offer.prompt(task), offer.tools(offer.guides(kind, 128_000))) <= 3_000
