"""Do a Python answer and the reference agree on the hidden tests? ColBench's official rule, and one without its faults.

The official scorer executes an answer inside a function of the grading process, so that helper functions, imports and
recursion are unknown names there (never correct), compares with `==` whatever it meets (1 == True, and an object may
claim to equal anything), and counts a test on which the reference itself fails as failed by everybody. `official`
keeps these rules and what they give; `fixed` runs both as modules, compares plain values of the same type, and takes
a reference's own exception as what the answer must do too. Both run in the sandbox, never in this process.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from turnsmith.envs.sandbox import Ending, Reply, Result, Runner, same


@dataclass(frozen=True, slots=True)
class Score:
    """What an answer is worth.

    Attributes:
        official, fixed: by test name, whether it passed.
        detail: why the answer could not be run at all, or "".
    """

    official: Mapping[str, bool]
    fixed: Mapping[str, bool]
    detail: str = ""

    @property
    def success(self) -> bool:
        """All tests passed by the fixed rule."""
        return bool(self.fixed) and all(self.fixed.values())

    @property
    def official_success(self) -> bool:
        """All tests passed by the official rule."""
        return bool(self.official) and all(self.official.values())


def score_answer(sandbox: Runner, answer: str, reference: str, test_cases: Mapping[str, str]) -> Score:
    """Run the tests on both and compare.

    Args:
        sandbox: where both run, each as a program of its own.
        answer: Python source that the agent gave.
        reference: of the task.
        test_cases: call expressions by name.
    """
    calls = list(test_cases.values())
    wanted, given = sandbox.run(reference, calls), sandbox.run(answer, calls)
    fixed = dict(zip(test_cases, (_agree(a, b, False) for a, b in _replies(wanted, given)), strict=True))
    if _needs_module_scope(reference) or _needs_module_scope(answer):
        official = dict.fromkeys(test_cases, False)
    else:
        official = dict(zip(test_cases, (_agree(a, b, True) for a, b in _replies(wanted, given)), strict=True))
    return Score(official, fixed, "" if given.ending is Ending.OK else given.detail)


def _replies(wanted: Result, given: Result) -> Iterator[tuple[Reply, Reply]]:
    return zip(wanted.replies, given.replies, strict=True)


def _agree(wanted: Reply, given: Reply, official: bool) -> bool:
    if wanted.ending is not Ending.OK:
        return not official and wanted.ending is Ending.RAISED and given.ending is Ending.RAISED
    if given.ending is not Ending.OK:
        return False
    if official:
        return wanted.value is not None and wanted.value == given.value  # None means "failed" there
    return same(wanted.value, given.value)


def _needs_module_scope(source: str) -> bool:
    """Whether code works as a module but not inside a function: names of its top level that functions of it read."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    top: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            top |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            top.add(node.name)
        elif isinstance(node, ast.Assign):
            top |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    read = {n.id for f in functions for n in ast.walk(f) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return bool(read & top)
