"""Starts a coding agent on this machine, watches it, restarts it, and says how it is.

Standard-library Python 3.10+, with nothing of sprint but these files and detector.py: packed into one file
(on_machine.py) it works wherever it is copied. What it writes lies in .bb-agent/ of the repository:
state.json (replaced whole), events.jsonl, agent.log, supervisor.pid. It trusts files and processes, never
words: an agent that ends well is one that ended by itself with 0, or left TASK_COMPLETE; BLOCKED wins over
that.

It keeps every process that the agent begets: it adopts orphans (PR_SET_CHILD_SUBREAPER), and each has a mark
of this supervision in its environment, by which `stop` finds them also where the supervisor was killed.
"""
