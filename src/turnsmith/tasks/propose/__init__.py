"""Who writes tasks for a site that nobody wrote tasks for (PAE, arXiv 2412.13194, the first of its three parts).

| file       | what                                                                                              |
|------------|---------------------------------------------------------------------------------------------------|
| `sketch`   | what a reader takes from an observation: head, links, buttons, fields, details                     |
| `explorer` | a policy that looks around a site by itself: the context "name"                                     |
| `knowledge`| what a few browsing traces (the explorer's, or a user's demonstrations) tell about one site          |
| `grammar`  | the local proposer: from that knowledge to tasks, by wordings and kinds of its own                   |
| `endpoint` | a model behind an OpenAI-compatible endpoint as the proposer                                        |
| `accept`   | what proposals have to pass before they are tasks: validation, duplicates, overlap with test tasks  |

A proposer never sees a task template, a test task or a state behind a page: all it gets is what a browser showed.
"""

from turnsmith.tasks.propose.accept import Accepted, accept
from turnsmith.tasks.propose.explorer import Explorer
from turnsmith.tasks.propose.grammar import GrammarProposer
from turnsmith.tasks.propose.proposal import Proposal

__all__ = ["Accepted", "Explorer", "GrammarProposer", "Proposal", "accept"]
