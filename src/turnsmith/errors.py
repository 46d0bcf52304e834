"""The kinds of trouble that have names.

`UserError` is something the person at the keyboard can mend: the command line prints its text as one line and exits
with status 2, without a traceback. `InfraError` is a failure of the machinery under an episode (a browser, a worker, an
endpoint): the rollout turns it into the outcome `infra_error`, counts it, and keeps the episode out of every loss and
metric. `ParseError` is text from a model that is not in the grammar. Anything else that is raised is a bug and keeps
its traceback.
"""


class UserError(Exception):
    """Wrong input or a missing piece. The message says what was wrong, where, and what to do."""


class InfraError(Exception):
    """The machinery under an episode failed through no fault of the agent.

    Attributes:
        kind: a short stable name for counting, such as "browser_died", "page_crashed", "navigation_timeout",
            "server_down", "endpoint_down".
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class ParseError(Exception):
    """Text from a model that is not in the action grammar. The message stands in the agent's next observation."""


def require(module: str, extra: str) -> None:
    """Raise a `UserError` that names the extra to install when `module` cannot be imported."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise UserError(f"{module} is not installed. Type: pip install 'turnsmith[{extra}]'")
