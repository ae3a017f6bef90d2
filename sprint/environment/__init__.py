"""What a project needs to run its checks: found, made once, kept."""

from sprint.environment.ecosystems import propose
from sprint.environment.kept import clean
from sprint.environment.prepare import Checkout, Fresh, Prepared, check_out, failure, prepare, put_into
from sprint.environment.proposal import Proposal
from sprint.environment.recipe import Project, Recipe, choose, found_in, recipe_for
from sprint.environment.snapshot import of_commit, of_folder
from sprint.environment.tool_versions import tools, versions

__all__ = [
    "Checkout",
    "Fresh",
    "Prepared",
    "Project",
    "Proposal",
    "Recipe",
    "check_out",
    "choose",
    "clean",
    "failure",
    "found_in",
    "of_commit",
    "of_folder",
    "prepare",
    "propose",
    "put_into",
    "recipe_for",
    "tools",
    "versions",
]
