"""Burns an issue backlog unattended: from a cron tick to a pull request."""

__version__ = "0.2.0"
