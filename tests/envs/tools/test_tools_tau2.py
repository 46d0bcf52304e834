"""The official tau2 package as an environment: gold actions earn what they should, and what is missing is said."""

import asyncio
import os

import pytest

from turnsmith.cli import main
from turnsmith.envs.tools.tau2 import VARIABLE, Tau2Environment
from turnsmith.envs.tools.user import STOP, Utterance
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, Call

official = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no Python with the official tau2 package"
)


class Short:
    """A user who says one thing and leaves."""

    async def opening(self) -> Utterance:
        return Utterance("Create a task for user_1, please.", by="short")

    async def reply(self, message: str) -> Utterance:
        return Utterance(STOP)


@official
def test_what_is_done_is_what_the_official_evaluators_grade():
    environment = Tau2Environment("mock", lambda task, seed: Short())
    tasks = {task.params["id"]: task for task in environment.tasks("base")}
    create = tasks["create_task_1"]
    assert create.hidden["brief"]
    assert any(spec.writes for spec in environment.specs)
    assert not all(spec.writes for spec in environment.specs)

    async def play(*calls: Call):
        async with environment.session() as session:
            first = await session.reset(create, 0)
            assert first.info == {"from": "user", "by": "short"}
            unfinished = await session.grade()
            assert unfinished is not None
            assert unfinished.reward == 0
            for call in calls:
                step = await session.step(Action("", call))
            verdict = await session.grade()
            assert verdict is not None
            return step, verdict

    async def both():
        async with environment:
            made = Call("create_task", {"user_id": "user_1", "title": "Important Meeting"})
            bye = Call("respond", {"content": "Done."})
            step, good = await play(made, bye)
            assert step.done
            _, nothing = await play(bye)
            _, other = await play(Call("create_task", {"user_id": "user_1", "title": "Lunch"}), bye)
            strange, _ = await play(Call("no_such_tool", {}))
            assert "no tool" in strange.observation.error
            broken, _ = await play(Call("create_task", {"user": 3}))
            assert broken.observation.text.startswith("Error")
            return good.reward, nothing.reward, other.reward

    assert asyncio.run(both()) == (1, 0, 0)


@official
def test_domains_whose_users_have_tools_are_refused_and_so_are_unknown_ones():
    for domain in ("telecom", "nowhere"):
        with pytest.raises(UserError, match=domain):
            Tau2Environment(domain, lambda task, seed: Short())


def test_without_the_package_there_is_one_line_that_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "/no/python")
    server = "openai:a@http://127.0.0.1:9/v1"
    assert main(["eval", "tools", "tau2_retail", "--agent", server, "--user", server]) == 2
    assert VARIABLE in capsys.readouterr().err
    assert main(["eval", "tools", "tau2_retail", "--agent", server]) == 2
    assert "--user" in capsys.readouterr().err
