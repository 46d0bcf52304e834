"""APR's text for searches, verbatim: how threads are printed, spawned, joined, and read back.

A parent call ends after its spawn block. The engine builds each child's prompt from the parent's `Generated Node` lines
(a child sees nothing else), runs the children, deletes the spawn block and puts the joined results in its place; then
the parent goes on. SoS+ prints one serial thread. Nothing here evaluates text: every line is matched by one anchored
pattern, and what no pattern matches is malformed.

The order of two lines is a reconstruction: at the end of an SoS+ sub-search without success, "No solution found in sub
search" comes before "Exit Sub Search".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown.problem import Operation, Problem
from turnsmith.worlds.countdown.search import Explored, Moving, Node, Search, Spawn, SubSearch

CALLING = "<Calling Sub Searches>"
END_CALLING = "<End Calling Sub Searches>"
JOINED = "<Sub Searches>"
END_JOINED = "<End Sub Searches>"
NO_SOLUTION = "No solution found."
GOAL_REACHED = "equal: Goal Reached"

WORDING = (
    "Moving to Node #0",
    "Current State: 1:[2, 3], Operations: ['1+2=3']",
    "Exploring Operation: 1+2=3, Resulting Numbers: [3]",
    "Generated Node #0,0: 1:[2] Operation: 1+2=3",
    "1,2 unequal: No Solution",
    "1,1 equal: Goal Reached",
    NO_SOLUTION,
    "Start Sub Search at level 1: Moving to Node #0",
    "Exit Sub Search at level 1",
    "No solution found in sub search",
    CALLING,
    "<Start Sub Search 0 at level 1> Moving to Node #0",
    END_CALLING,
    JOINED,
    "<Goal Reached in Sub Search 0 at level 1 at Node #0>",
    "<No Solution in Sub Search 0 at level 1 at Node #0>",
    END_JOINED,
    "Sub Call Budget: 1 Moving to",
    "Token Budget: 1 Current State",
)
"""A line of every kind, from which a tokenizer has its words."""

_NUMBERS = r"\[\d{1,18}(?:, \d{1,18})*\]"
_GENERATED = re.compile(rf"Generated Node #(\d+(?:,\d+)*): (\d{{1,18}}):({_NUMBERS}) Operation: (\S+)", re.ASCII)
_EXPLORING = re.compile(rf"Exploring Operation: (\S+), Resulting Numbers: ({_NUMBERS})", re.ASCII)
_STATE = re.compile(rf"Current State: (\d{{1,18}}):({_NUMBERS}), Operations: \[(.*)\]", re.ASCII)
_SPAWN = re.compile(r"<Start Sub Search (\d{1,9}) at level 1> Moving to Node #(\d+(?:,\d+)*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """One model call: what it is given and what it writes. Supervised training learns all of it as one sequence."""

    prompt: str
    text: str
    node: tuple[int, ...] = ()
    """The node that the thread started from; () is the parent."""


def node_name(path: tuple[int, ...]) -> str:
    """The id of a node: "0" for the root, "0,2,1" for its third child's second child."""
    return ",".join(["0", *map(str, path)])


def node_path(name: str) -> tuple[int, ...]:
    """The inverse of `node_name`."""
    return tuple(int(part) for part in name.split(",")[1:])


def state_line(problem: Problem, node: Node) -> str:
    """The `Current State` line of a node."""
    operations = ", ".join(f"'{operation}'" for operation in node.operations)
    return f"Current State: {problem.target}:{list(node.numbers)}, Operations: [{operations}]\n"


def _moving(problem: Problem, node: Node) -> str:
    return f"Moving to Node #{node_name(node.path)}\n{state_line(problem, node)}"


def _explored(problem: Problem, node: Node, solved: bool | None) -> str:
    operation = node.operations[-1]
    text = f"Exploring Operation: {operation}, Resulting Numbers: {list(node.numbers)}\n"
    if solved is None:
        name = node_name(node.path)
        return f"{text}Generated Node #{name}: {problem.target}:{list(node.numbers)} Operation: {operation}\n"
    verdict = "equal: Goal Reached" if solved else "unequal: No Solution"
    return f"{text}{node.numbers[0]},{problem.target} {verdict}\n"


def solution_path(problem: Problem, start: Node, solution: Node) -> str:
    """The clean path from a thread's start to the leaf that reached the target, as a thread prints it after success."""
    text, numbers = "", start.numbers
    for depth in range(len(start.path), len(solution.path)):
        node = Node(solution.path[:depth], numbers, solution.operations[:depth])
        operation = solution.operations[depth]
        numbers = _apply(numbers, operation)
        child = Node(solution.path[: depth + 1], numbers, solution.operations[: depth + 1])
        text += _moving(problem, node) + _explored(problem, child, True if len(numbers) == 1 else None)
    return text


def _apply(numbers: tuple[int, ...], operation: Operation) -> tuple[int, ...]:
    left_over = list(numbers)
    left_over.remove(operation.left)
    left_over.remove(operation.right)
    return (*left_over, operation.result)


def serial_prompt(problem: Problem, node: Node) -> str:
    """All that a serial thread (SoS+) is given: its state."""
    return state_line(problem, node).removesuffix("\n")


def budget_prefix(kind: str, count: int) -> str:
    """What conditions the first line on a budget: "calls" of children (APR's parents), or "tokens" (SoS+)."""
    return f"Sub Call Budget: {count} " if kind == "calls" else f"Token Budget: {count} "


def serial_text(search: Search) -> str:
    """SoS+: the whole thread, from its `Current State` line on."""
    text = _serial(search.problem, search.events, named=False)
    return text + _ending(search)


def _ending(search: Search) -> str:
    if search.solution is None:
        return f"{NO_SOLUTION}\n"
    return solution_path(search.problem, search.start, search.solution)


def _serial(problem: Problem, events: Sequence[object], named: bool) -> str:
    """Events as text; the first node's `Moving to` line is left out unless `named`."""
    text = ""
    for index, event in enumerate(events):
        if isinstance(event, Moving):
            text += _moving(problem, event.node) if named or index else state_line(problem, event.node)
        elif isinstance(event, Explored):
            text += _explored(problem, event.node, event.solved)
        elif isinstance(event, SubSearch):
            text += f"Start Sub Search at level {event.level}: Moving to Node #{node_name(event.node.path)}\n"
            text += _serial(problem, event.events, named=False)
            if not event.solved:
                text += f"No solution found in sub search\nExit Sub Search at level {event.level}\n"
    return text


def child_prompt(problem: Problem, node: Node) -> str:
    """All that a child thread sees."""
    return _moving(problem, node).removesuffix("\n")


def parallel_calls(search: Search) -> list[Call]:
    """APR: every model call of a search, the parent's (one more than it has spawns) and the children's, in order.

    A parent call after a join starts from the whole text so far with the joined results in place of the spawn block.
    """
    problem = search.problem
    prompt = state = _moving(problem, search.start).removesuffix("\n")
    calls: list[Call] = []
    text = "\n"
    for event in search.events[1:]:
        if isinstance(event, Spawn):
            nodes = [child.start for child in event.children]
            calls.append(Call(prompt, state[len(prompt) :] + text + spawn_block(nodes)))
            for child in event.children:
                calls.append(Call(child_prompt(problem, child.start), child_text(child), child.start.path))
            results = [child_text(child) for child in event.children]
            prompt = state = state + text + join_block(nodes, results)
            text = ""
        else:
            text += _serial(problem, (event,), named=True)
    ending = _ending(search)
    if isinstance(search.events[-1], Spawn) and search.solution is not None:  # found by a thread, not by the parent
        ending = f"{problem.target},{problem.target} {GOAL_REACHED}\n{ending}"
    calls.append(Call(prompt, state[len(prompt) :] + text + ending))
    return calls


def child_text(search: Search) -> str:
    """What a child thread writes after its prompt."""
    return "\n" + _serial(search.problem, search.events[1:], named=True) + _ending(search)


def spawn_block(nodes: Sequence[Node]) -> str:
    """The lines that end a parent call and ask for a thread for each node."""
    lines = [
        f"<Start Sub Search {i} at level 1> Moving to Node #{node_name(node.path)}" for i, node in enumerate(nodes)
    ]
    return "\n".join([CALLING, *lines, END_CALLING]) + "\n"


def parse_spawn(text: str) -> tuple[str, list[Node], int] | None:
    """Read the spawn at the end of a parent's text.

    Args:
        text: the parent's whole text so far (prompt included), whose `Generated Node` lines define the nodes.

    Returns:
        (the text before the spawn block, the nodes to start threads from, the target), or None where the text does not
        end in a spawn.

    Raises:
        ParseError: if the spawn block is malformed, empty, or names a node that was never generated.
    """
    body, found, block = text.rpartition(CALLING)
    if not found or JOINED in block:
        return None
    lines = block.strip("\n").split("\n")
    if lines[-1] != END_CALLING:
        raise ParseError("the spawn block has no end")
    generated = {match[1]: match for match in _GENERATED.finditer(body)}
    root = _STATE.search(body)
    if root is None:
        raise ParseError("no state stands before the spawn block")
    nodes = []
    for line in lines[:-1]:
        match = _SPAWN.fullmatch(line)
        if match is None:
            raise ParseError(f"malformed line in the spawn block: {line[:60]!r}")
        if match[2] not in generated:
            raise ParseError(f"node #{match[2]} was never generated")
        nodes.append(_generated_node(match[2], generated))
    if not nodes:
        raise ParseError("the spawn block names no node")
    return body, nodes, int(root[1])


def _generated_node(name: str, generated: dict[str, re.Match[str]]) -> Node:
    """A node from its own `Generated Node` line and its ancestors'."""
    path = node_path(name)
    operations = []
    for depth in range(1, len(path) + 1):
        ancestor = generated.get(node_name(path[:depth]))
        if ancestor is None:
            raise ParseError(f"node #{node_name(path[:depth])} was never generated")
        try:
            operations.append(Operation.parse(ancestor[4]))
        except ValueError as error:
            raise ParseError(str(error)) from error
    return Node(path, tuple(_integers(generated[name][3])), tuple(operations))


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.strip("[]").split(", ")]


def clean_path(text: str) -> str | None:
    """A child's joined result: what follows its second-to-last `Goal Reached` line, or None with fewer than two."""
    lines = text.strip("\n").split("\n")
    goals = [index for index, line in enumerate(lines) if line.endswith(GOAL_REACHED)]
    if len(goals) < 2:
        return None
    return "\n".join(lines[goals[-2] + 1 :]) + "\n"


def join_block(nodes: Sequence[Node], texts: Sequence[str]) -> str:
    """The lines that take the spawn block's place once the children have ended (not verified, as in the paper)."""
    block = f"{JOINED}\n"
    for index, (node, text) in enumerate(zip(nodes, texts, strict=True)):
        path, name = clean_path(text), node_name(node.path)
        if path is None:
            block += f"<No Solution in Sub Search {index} at level 1 at Node #{name}>\n"
        else:
            block += f"<Goal Reached in Sub Search {index} at level 1 at Node #{name}>\n{path}"
    return f"{block}{END_JOINED}\n"


def claimed_operations(text: str) -> list[str] | None:
    """The operations of the closing clean path, as text for the strict checker; None where no solution is claimed.

    The path is what follows the second-to-last `Goal Reached`: its last `Current State` and last `Exploring Operation`.
    """
    path = clean_path(text)
    if path is None or not path.rstrip("\n").endswith(GOAL_REACHED):
        return None
    states = list(_STATE.finditer(path))
    explored = list(_EXPLORING.finditer(path))
    if not states or not explored:
        return None
    before = [item.strip("'") for item in states[-1][3].split(", ")] if states[-1][3] else []
    return [*before, explored[-1][1]]
