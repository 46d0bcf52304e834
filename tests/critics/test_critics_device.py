"""Learning from device logs: what is read, what critics learn on a phone whose values are known, what arms choose."""

import asyncio
import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from device_logs import GOALS, door_log, episode, log, screen, tap

from turnsmith.agents.aitw import render_aitw
from turnsmith.agents.frames import Frames
from turnsmith.agents.screen_policy import new_screen_policy
from turnsmith.critics.action_features import ActionFeatures, pair_key
from turnsmith.critics.advantage import AdvantageCritics
from turnsmith.critics.change import (
    NO_ACTION,
    TYPES,
    ActionReader,
    CriticAction,
    change_data,
    change_scores,
    changed,
    close_up,
    fit_change,
    inputs_of,
    to_critic_action,
    with_cursor,
)
from turnsmith.critics.config import SMALL_CRITICS, Backup, Form, QConfig
from turnsmith.critics.episodes import played, read, successes
from turnsmith.critics.fitting import adam, fit_rows
from turnsmith.critics.goal_words import GoalWords
from turnsmith.critics.qlearning import Critics, lone_state, same, tabulate
from turnsmith.critics.ranked import RankedPolicy
from turnsmith.critics.screen_features import Features, ScreenAutoencoder, pretrain
from turnsmith.critics.values import (
    DelexicalisedTokenizer,
    InstructionCritic,
    StepCritic,
    SuccessModel,
    encode_texts,
    value_loss,
)
from turnsmith.engine.forward import Prompt
from turnsmith.errors import UserError
from turnsmith.evaluate.ranking import auc
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.learn.divergence import mean_token_kl, token_kl
from turnsmith.learn.examples import context_at
from turnsmith.learn.transforms.rename import keep_words
from turnsmith.recipes.digiq.candidates import Candidates, draw_candidates, extract
from turnsmith.recipes.digiq.config import ExtractionConfig
from turnsmith.recipes.shared.digirl_filter import choose
from turnsmith.recipes.shared.phone_config import CreditConfig
from turnsmith.runs.run import Run
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, Outcome, Verdict

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    """(log, policy, features): a log of a random policy, and a small network over its screens."""
    traces = [played(trace) for trace in log(60)]
    episodes = [one for one in traces if one is not None]
    policy = new_screen_policy(list(GOALS) * 3, width=32, layers=1, vision_width=16, vision_layers=1)
    frames = policy.frames
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ScreenAutoencoder(24, width=16)
    losses = pretrain(encoder, [frames(screen(stage)) for stage in ("hall", "red", "blue")], updates=40, batch_size=6)
    assert losses[-1] < losses[0] / 2
    return episodes, policy, Features(encoder, frames)


# -- what is read


def must(trace, judge="oracle"):
    found = played(trace, judge)
    assert found is not None
    return found


def test_rewards_are_those_of_the_steps_judge_and_else_the_verdict(tmp_path):
    rng = random.Random(0)
    won, lost = episode(0, rng, "red", ["red"]), episode(1, rng, "red", [None, "blue"])
    assert must(won).rewards == (1.0,)
    assert must(lost).rewards == (0.0, 0.0)
    from dataclasses import replace

    bare = replace(
        won, turns=tuple(replace(turn, reward=0.0) for turn in won.turns), verdicts=(Verdict("oracle", 1.0),)
    )
    assert must(bare).rewards == (1.0,)  # no judge of steps: the oracle's verdict, at the last step
    older = replace(bare, turns=tuple(replace(turn, info={"evaluator": "oracle"}) for turn in bare.turns))
    assert must(older).rewards == (0.0,)  # as runs say it that were made before verdicts had turns
    missed = (Verdict("noisy", 0.0, turn=0), Verdict("oracle", 1.0))
    assert must(replace(bare, verdicts=missed)).rewards == (0.0,)  # a judge that missed it was asked
    assert must(replace(bare, verdicts=(Verdict("other", 0.0),)), "other").rewards == (0.0,)
    assert played(replace(won, outcome=Outcome.INFRA_ERROR)) is None
    assert [image.digest for image in must(won).screens] == [screen("hall").digest, screen("red").digest]
    with Store(tmp_path / "run.db") as store:
        store.append_many([lost, won])
        found = read(store, ["offline"])
        assert [one.trace.id for one in found] == ["offline-0000", "offline-0001"]
        assert [one.trace.id for one in successes(found)] == ["offline-0000"]
        assert read(store, ["train"]) == []
        frames = Frames(store.image)
        assert frames(found[0].screens[0]).shape == (3, 190, 90)  # bytes come from the store


# -- values


def test_value_loss_is_the_cross_entropy_or_the_squared_error():
    raw, target = torch.tensor([[0.0, 2.0]]), torch.tensor([1.0, 0.0])
    expected = (torch.tensor(0.5).log() + (1 - torch.tensor(2.0).sigmoid()).log()) / -2
    torch.testing.assert_close(value_loss(raw, target, "cross_entropy"), expected)
    torch.testing.assert_close(value_loss(raw, target, "squared_error"), torch.tensor((1 + 4) / 2))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_the_step_critic_learns_the_known_values(world, loss):
    """In the hall the outcome is a toss-up; in the room it is known."""
    episodes, policy, features = world
    critic = StepCritic(policy.tokenizer, features, loss)
    losses = critic.fit(episodes, adam(80, batch_size=32))
    assert losses[-1] < losses[0]
    values = critic.values(episodes)
    assert all(
        len(value) == len(one.rewards) + 1 and float(value[-1]) == 0.0
        for one, value in zip(episodes, values, strict=True)
    )
    halls = torch.cat([value[:1] for value in values])
    rate = sum(one.success for one in episodes) / len(episodes)
    assert float(halls.mean()) == pytest.approx(rate, abs=0.2)


def test_the_screen_judge_learns_to_read_goal_and_screen(world):
    episodes, policy, features = world
    judge = SuccessModel(policy.tokenizer, features)
    judge.fit(episodes, adam(150, batch_size=32))
    for goal, room in zip(GOALS, ("red", "blue"), strict=True):
        other = "blue" if room == "red" else "red"
        assert judge.probability(goal, [screen("hall"), screen(room)]) > 0.5
        assert judge.probability(goal, [screen("hall"), screen(other)]) < 0.5
        assert judge.probability(goal, [screen("hall"), screen("hall")]) < 0.5
    with pytest.raises(UserError, match="only one kind"):
        judge.fit(successes(episodes)[:0] + [one for one in episodes if not one.success], adam(1))


def test_digirl_keeps_the_steps_that_gained(world):
    episodes, policy, features = world
    critic = StepCritic(policy.tokenizer, features)
    critic.fit(episodes, adam(60, batch_size=32))
    offline = choose(episodes, critic, None, CreditConfig())
    assert {one.trace.id for one in offline.episodes} == {one.trace.id for one in successes(episodes)}
    for one in offline.episodes:
        assert offline.weights[one.trace.id][-1] == 1.0  # the step that won
    instruction = InstructionCritic(policy.tokenizer)
    instruction.fit(episodes, adam(20, batch_size=32))
    online = choose(episodes, critic, instruction, CreditConfig(fraction=0.2))
    assert len(online.episodes) == 12
    assert all(one.success for one in online.episodes)  # failures are never a surprise here
    everything = choose(episodes, critic, None, CreditConfig(), "all")
    assert everything.steps == sum(len(one.rewards) for one in successes(episodes))
    weighted = choose(episodes, critic, None, CreditConfig(), "awr")
    assert all(weight > 0 for weights in weighted.weights.values() for weight in weights)


# -- stage 1


def test_a_cursor_is_drawn_at_the_point_and_inside_the_screen(world):
    frame = world[1].frames(screen("hall"))
    shown = with_cursor(frame, (0.8, 0.5))
    different = (shown != frame).any(dim=0).nonzero()
    assert different[0].tolist() == [152, 45]
    assert with_cursor(frame, (1.0, 1.0)).shape == frame.shape
    assert with_cursor(frame, None) is frame


def test_a_close_up_shows_what_stands_around_the_point(world):
    frame = world[1].frames(screen("hall"))
    inside = close_up(frame, (0.5, 0.5))
    assert torch.equal(inside, frame[:, 95 - 12 : 95 + 12, 45 - 24 : 45 + 24])
    corner = close_up(frame, (1.0, 0.0))
    assert torch.equal(corner[:, :13, 24:], frame[:, 177:, :24])
    assert bool((corner[:, 13:] == 128).all())
    assert bool((corner[:, :, :24] == 128).all())
    assert bool((close_up(frame, None) == 128).all())


def test_actions_are_described_by_type_text_and_point():
    assert to_critic_action(None) == NO_ACTION
    assert to_critic_action(Call("click", {"mark": 3})) == NO_ACTION
    assert to_critic_action(Call("type", {"text": "lamp"})).text == "lamp"
    assert TYPES[to_critic_action(Call("press", {"key": "back"})).kind] == "PRESS_BACK"
    assert to_critic_action(Call("tap", {"y": 0.1, "x": 0.2})).point == (0.1, 0.2)


def test_the_reader_learns_which_taps_change_the_screen(world, tmp_path):
    episodes, policy, features = world
    data = change_data(episodes, features)
    assert changed(policy.frames(screen("hall")), policy.frames(screen("red")))
    assert not changed(policy.frames(screen("hall")), policy.frames(screen("hall")))
    assert 0.3 < float(data.labels.mean()) < 0.9
    reader = ActionReader(features.model, len(policy.tokenizer)).eval()
    frame = data.frames[:1]
    plain = features.model(torch.stack(frame))
    torch.testing.assert_close(  # before fine-tuning the feature is the autoencoder's vector
        reader(*inputs_of(frame, [NO_ACTION], policy.tokenizer)), plain
    )
    config = adam(60, batch_size=24, learning_rate=3e-3)
    asked_less = copy.deepcopy(reader)
    fit_change(asked_less, data, policy.tokenizer, replace(config, max_updates=15))
    fit_change(reader, data, policy.tokenizer, config, foresee=1.0)
    scores, foreseen = change_scores(reader, data, policy.tokenizer)
    score = auc(scores, [label > 0.5 for label in data.labels.tolist()])
    assert score is not None
    assert score > 0.9
    unseen = change_scores(asked_less, data, policy.tokenizer)[1]
    assert foreseen is not None
    assert unseen is not None
    assert foreseen > 0.7 > 0.1 > unseen  # which room a tap leads to, where that was asked for
    cache = ActionFeatures(reader, policy.frames, policy.tokenizer)
    images, critic_actions = (
        [screen("hall")] * 2,
        [to_critic_action(tap("red", random.Random(1))), to_critic_action(Call("type", {"text": "a"}))],
    )
    made = cache(images, critic_actions)
    again = ActionFeatures(reader, policy.frames, policy.tokenizer)
    again.add([pair_key(*pair) for pair in zip(images, critic_actions, strict=True)], made)
    assert again.unread(images, critic_actions) == []
    torch.testing.assert_close(again(images[::-1], critic_actions[::-1]), made.flip(0))
    name = again.weights
    with torch.no_grad():
        reader.answer.bias.add_(1.0)  # other weights have another name
    assert again.weights != name


# -- stages 2 and 3


def test_critics_can_read_goals_without_their_names(world):
    policy = world[1]
    goal = "Open the blotherun door"
    plain = encode_texts(policy.tokenizer, [goal])
    assert torch.equal(encode_texts(DelexicalisedTokenizer(policy), [goal]), plain)  # nobody said which words are names
    noted = copy.copy(policy.model.config.turnsmith)
    try:
        keep_words(policy.model, ["Open", "the", "door"])
        assert len(DelexicalisedTokenizer(policy)) == len(policy.tokenizer)
        assert "blotherun" not in policy.tokenizer.decode(encode_texts(DelexicalisedTokenizer(policy), [goal])[0])
        words, other = GoalWords(policy), "Open the runblother door"
        rows = words([goal, goal, other, other], ["blotherun", "runblother", "runblother", other])
        place, space = len(policy.tokenizer) + 1, int(rows[0, 0])
        assert [row[row != 0].tolist() for row in rows[:3]] == [[space, place], [space, place - 1], [space, place]]
        assert torch.equal(words([goal], [goal]), rows[3:])  # the same goal under another name
        assert int(rows.max()) < len(words)
    finally:
        policy.model.config.turnsmith = noted


def test_an_action_is_the_same_again_within_a_cell():
    assert same(CriticAction(1, "", (0.5, 0.5)), CriticAction(1, "", (0.52, 0.45)))
    assert not same(CriticAction(1, "", (0.5, 0.5)), CriticAction(1, "", (0.55, 0.5)))
    assert not same(CriticAction(1, "", (0.5, 0.5)), CriticAction(1, ""))
    assert same(CriticAction(0, "lamp"), CriticAction(0, "lamp"))
    assert not same(CriticAction(0, "lamp"), CriticAction(0, "lam"))


@pytest.fixture(scope="module")
def doors(world):
    """(log, its tables, features of actions after stage 1, the same before it) of the phone with one door."""
    _, policy, features = world
    episodes = [one for one in map(played, door_log()) if one is not None]
    plain = ActionReader(features.model, len(policy.tokenizer)).eval().requires_grad_(False)
    tuned = copy.deepcopy(plain)
    data = change_data(episodes, features)
    fit_change(tuned, data, policy.tokenizer, adam(40, batch_size=24, learning_rate=3e-3))
    steps = tabulate(episodes, features, GoalWords(policy), 0.95)
    assert len(steps.images) == sum(len(one.rewards) + 1 for one in episodes)
    return episodes, steps, *(ActionFeatures(one, policy.frames, policy.tokenizer) for one in (tuned, plain))


@pytest.fixture(scope="module")
def tuned_critics(world, doors):
    """Critics of the door's log with tuned features, by form, backup and decay; each is fitted once."""
    made = {}

    def of(form: Form = "direct", backup: Backup = "td", decay=0.9):
        key = form, backup, decay
        if key not in made:
            made[key] = trained(world, doors[2], doors[1], *key)
        return made[key]

    return of


def trained(world, actions, steps, form: Form = "direct", backup: Backup = "td", decay=0.9):
    config = QConfig(
        form=form, backup=backup, discount=0.9, decay=decay, updates=150, batch_size=64, learning_rate=3e-3, width=32,
        grad_clip=1.0, heads="min", folds=2, value_updates=100,
    )  # fmt: skip
    made = AdvantageCritics if form == "advantage" else Critics
    critics = made(GoalWords(world[1]), world[2], actions, config, 0)
    critics.fit(steps)
    return critics


def door_values(critics, steps):
    """(V, Q of the door, Q of nothing) in the hall."""
    rng = random.Random(3)
    rows = [row for row, (_, turn) in enumerate(steps.place) if turn == 0][:12]
    critic_actions = [[to_critic_action(tap("red", rng)), to_critic_action(tap(None, rng))] for _ in rows]
    q = critics.q_values(steps, rows, critic_actions, torch.zeros(len(rows), 2)).mean(dim=0)
    return float(critics.values(steps, rows).mean()), float(q[0]), float(q[1])


def exact_values(episodes, discount=0.95):
    """(V, Q of the door, Q of nothing) before the first tap, by counting; TD and Monte Carlo agree on them."""
    first = sum(one.rewards[0] for one in episodes) / len(episodes)
    second = [one.rewards[1] for one in episodes if len(one.rewards) > 1]
    nothing = discount * sum(second) / len(second)
    return first + (1 - first) * nothing, 1.0, nothing


@pytest.mark.parametrize("form", ["direct", "advantage"])
@pytest.mark.parametrize(("backup", "decay"), [("td", 0.9), ("td", 0.0), ("mc", 0.9)])
def test_q_and_v_approach_the_exact_values_of_the_data(doors, tuned_critics, form, backup, decay):
    episodes, steps = doors[:2]
    found = door_values(tuned_critics(form, backup, decay), steps)
    assert found == pytest.approx(exact_values(episodes), abs=0.15)


def test_what_advantage_critics_say_of_an_episode_comes_from_others(world, doors):
    _, steps, _, plain = doors

    class Telling:  # features by which every tap could be known again
        feature_size, known = plain.feature_size, {}

        def __call__(self, images, critic_actions):
            source = torch.Generator().manual_seed(2)
            made = torch.randn(len(critic_actions), self.feature_size, generator=source)
            keys = [(image.digest, critic_action) for image, critic_action in zip(images, critic_actions, strict=True)]
            return torch.stack([self.known.setdefault(key, row) for key, row in zip(keys, made, strict=True)])

    luck = torch.randint(0, 2, (len(steps.place),), generator=torch.Generator().manual_seed(1)).float() * steps.done_S
    noise = replace(steps, reward_S=luck, return_S=luck)
    config = replace(SMALL_CRITICS, updates=300, batch_size=64, learning_rate=3e-3, width=64, value_updates=50, folds=2)
    critics = AdvantageCritics(GoalWords(world[1]), world[2], Telling(), config, 0)  # type: ignore[arg-type]
    critics.fit(noise)
    rows = torch.nonzero(steps.done_S)[:, 0].tolist()

    def correlation() -> float:
        critic_actions = [[steps.actions[row]] for row in rows]
        gain = critics.q_values(noise, rows, critic_actions, torch.zeros(len(rows), 1))[:, 0] - critics.values(
            noise, rows
        )
        return float(torch.corrcoef(torch.stack([gain, luck[rows]]))[0, 1])

    fair = correlation()
    critics._fold_M = (critics._fold_M + 1) % config.folds  # now from nets that have seen the very episode
    unfair = correlation()
    assert unfair > 0.4
    assert abs(fair) < 0.25  # 80 episodes


def test_features_that_overlook_the_action_make_q_a_v_function(world, doors, tuned_critics):
    _, steps, _, plain = doors

    class Overlooking:
        feature_size = plain.feature_size

        def __call__(self, images, critic_actions):
            return plain(images, [NO_ACTION for _ in critic_actions])

    spreads = []
    for critics in (tuned_critics(), trained(world, Overlooking(), steps)):
        _, door, nothing = door_values(critics, steps)
        spreads.append(door - nothing)
    assert spreads[0] > 0.3
    assert abs(spreads[1]) < 0.05


def test_candidates_are_kept_and_the_first_is_the_executed_action(world, doors, tmp_path):
    policy, features, config = (
        world[1].copy("terse"),
        world[2],
        ExtractionConfig(candidates=3, states=6, temperature=1.2),
    )
    policy.sampling = replace(policy.sampling, max_new_tokens=6)
    episodes = doors[0][:16]
    steps = tabulate(episodes, features, GoalWords(policy), 0.95)
    with Run(tmp_path / "run", {"recipe": "digiq"}) as run:
        made = [draw_candidates(run, policy, episodes, steps, config, seed=1) for _ in range(2)]
        wider = replace(config, candidates=2, states=10_000, where="successes")
        won = draw_candidates(run, policy, episodes, steps, wider, seed=1)  # what is kept is of other settings
    first, second = ([[action.token_ids for action in one] for one in found.actions] for found in made)
    assert first == second
    assert all(len(one) == 3 for one in first)
    executed = [episodes[steps.place[row][0]].trace.turns[steps.place[row][1]].action.call for row in made[0].rows]
    assert [one[0].call for one in made[0].actions] == executed
    assert torch.equal(made[0].likelihood_BN, made[1].likelihood_BN)
    row, action = made[0].rows[0], made[0].actions[0][1]
    context = context_at(episodes[steps.place[row][0]].trace, steps.place[row][1])
    prompt = policy.encode_prompt(context)[0]
    alone = policy.score([(context, replace(action, prompt_ids=prompt))])
    assert float(made[0].likelihood_BN[0, 1]) == pytest.approx(sum(alone[0]), abs=1e-3)
    assert {steps.place[row][0] for row in won.rows} == {i for i, one in enumerate(episodes) if one.success > 0}


def test_extraction_imitates_the_best_candidate_and_leaves_bad_actions_out(world, doors, tuned_critics):
    episodes, steps = doors[:2]
    policy, rng = world[1], random.Random(0)
    critics = tuned_critics()
    rows = [row for row, (_, turn) in enumerate(steps.place) if turn == 0][:8]
    offered = []
    for _ in rows:
        calls = [tap(None, rng), tap(None, rng), tap("red", rng)]
        offered.append([Action("", call, token_ids=policy.encode_response(render_aitw(call))) for call in calls])
    all_three = Candidates(rows, offered, torch.zeros(len(rows), 3))
    found = extract("best_of_n", critics, steps, episodes, all_three, policy)
    assert found.kept == 1.0
    assert [example.token_ids for example in found.examples] == [one[2].token_ids for one in offered]
    assert found.sensitivity is not None
    assert found.sensitivity > 0.1
    # N = 1 is the executed action, and tapping nothing is worth less than the hall.
    assert extract("best_of_n", critics, steps, episodes, all_three.first(1), policy).kept == 0.0
    soft = extract("softmax_of_n", critics, steps, episodes, all_three, policy, temperature=0.01)
    assert [example.token_ids for example in soft.examples] == [one[2].token_ids for one in offered]
    wide = extract("softmax_of_n", critics, steps, episodes, all_three, policy, temperature=99.0)
    assert wide.kept == 1.0
    assert 0 < sum(e.token_ids == one[2].token_ids for e, one in zip(wide.examples, offered, strict=True)) < len(rows)
    awr = extract("awr", critics, steps, episodes, all_three, policy, temperature=0.2, largest=5.0)
    assert all(0 < example.weight < 1 for example in awr.examples)
    signed = extract("reinforce", critics, steps, episodes, all_three, policy)
    assert all(example.weight < 0 for example in signed.examples)
    assert sum(abs(example.weight) for example in signed.examples) / len(rows) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("form", ["direct", "advantage"])
def test_a_ranking_policy_does_the_best_of_what_is_proposed(doors, tuned_critics, form):
    episodes, steps = doors[:2]
    critics, rng = tuned_critics(form), random.Random(0)
    seen = []

    class Proposing:
        version = "stub"

        def propose(self, contexts, seeds):
            seen.extend(seeds)
            calls = [(None, tap(None, rng), tap("red", rng), tap(None, rng))[seed % 4] for seed in range(len(contexts))]
            return [Action("?" if call is None else render_aitw(call), call, logprobs=(-1.0,)) for call in calls]

    asked = []
    ranked = RankedPolicy(Proposing(), lambda: asked.append(1) or critics, 4)  # type: ignore[arg-type]
    assert not asked  # an evaluation that is complete fits no critics
    ranked.prepare()
    contexts = [replace(context_at(episodes[n].trace, 0), seed=n) for n in range(3)]
    door = to_critic_action(tap("red", rng))
    assert [to_critic_action(action.call) for action in asyncio.run(ranked.act(contexts))] == [door] * 3
    assert asked == [1]
    assert len(set(seen)) == 12  # every draw of every context has a seed of its own
    later = next(one for one in episodes if len(one.rewards) > 1)
    assert to_critic_action(ranked.choose([context_at(later.trace, 1)])[0].call) == door
    # In a state of the log the lone table is the log's, and both ways of asking agree where no fold is left out.
    turn = steps.place.index((0, 0))
    alone = lone_state(episodes[0].instruction, NO_ACTION, episodes[0].screens[:1], critics.features, critics.words)
    for part in ("goal_ML", "kind_M", "vector_MD"):
        torch.testing.assert_close(getattr(alone, part)[0], getattr(steps, part)[steps.state_S[turn]])
    if form == "direct":
        critic_actions = [door, to_critic_action(tap(None, rng))]
        asked = critics.q_values(steps, [turn], [critic_actions], torch.zeros(1, 2))[0]
        torch.testing.assert_close(critics.preferences(alone, critic_actions, torch.zeros(2)), asked)

    class Silent(Proposing):
        def propose(self, contexts, seeds):
            return [Action("?", None, "nothing parsed") for _ in contexts]

    class Unequal(Proposing):
        def propose(self, contexts, seeds):
            return [replace(one, logprobs=(-float(n % 3),)) for n, one in enumerate(super().propose(contexts, seeds))]

    # Without critics the likeliest of those that parse is done: of four draws the last, not the first, as likely.
    likeliest = RankedPolicy(Unequal(), None, 4).choose(contexts[:1])[0]  # type: ignore[arg-type]
    assert likeliest.logprobs == (0.0,)
    assert likeliest.call is not None
    assert RankedPolicy(Silent(), lambda: critics, 2).choose(contexts)[0].error == "nothing parsed"  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no log-probabilities"):
        asyncio.run(ranked.log_prob([]))
    with pytest.raises(UserError, match="at least 1"):
        RankedPolicy(Proposing(), lambda: critics, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["direct", "advantage"])
def test_saved_critics_say_the_same(doors, tuned_critics, form, tmp_path):
    steps = doors[1]
    critics, rng = tuned_critics(form), random.Random(0)
    TENSORS.write(critics.tensors(), tmp_path)
    again = type(critics)(critics.words, critics.features, critics.actions, critics.config, critics.seed)
    again.restore(TENSORS.read(tmp_path))
    rows, critic_actions = list(range(6)), [[to_critic_action(tap("red", rng)), to_critic_action(tap(None, rng))]] * 6
    torch.testing.assert_close(again.values(steps, rows), critics.values(steps, rows), rtol=0, atol=0)
    asked = [one.q_values(steps, rows, critic_actions, torch.zeros(6, 2)) for one in (again, critics)]
    torch.testing.assert_close(*asked, rtol=0, atol=0)
    lone = [one.preferences(replace(steps), critic_actions[0], torch.zeros(2)) for one in (again, critics)]
    torch.testing.assert_close(*lone, rtol=0, atol=0)


def test_token_kl_is_the_hand_computed_divergence(world):
    p, q = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log(), torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]).log()
    real = torch.tensor([[True, False]])
    expected = 0.5 * torch.tensor(2.0).log() + 0.5 * torch.tensor(0.5 / 0.75).log()
    torch.testing.assert_close(token_kl(p, q, real), expected[None])
    policy = world[1]
    ids, vision = policy.encode_prompt(_context(world[0][0]))
    prompts = [Prompt(ids, vision)]
    assert mean_token_kl(policy.model, policy.model, prompts, [(5, 6, 1)]) == pytest.approx(0.0, abs=1e-6)


def _context(one):
    from turnsmith.learn.examples import context_at

    return context_at(one.trace, 0)


@pytest.mark.parametrize("falling", [False, True])
def test_fitting_is_the_loop_that_the_recorded_results_were_made_with(falling):
    """Rows with replacement, Adam, a clip, dropout by the seed: written out here, to the last bit."""
    data = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    target = data.sum(dim=1)

    def net():
        torch.manual_seed(5)
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))

    plain, optimizer, source, losses = net(), None, np.random.default_rng(3), []
    optimizer = torch.optim.Adam(plain.parameters(), lr=2e-2)
    torch.manual_seed(3)
    for update in range(12):
        rows = torch.from_numpy(source.integers(0, 40, size=7))
        loss = (plain(data[rows])[:, 0] - target[rows]).square().mean()
        if falling:
            for group in optimizer.param_groups:
                group["lr"] = 2e-2 * (1 - update / 12)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        losses.append(float(loss.detach()))

    fitted = net()
    config = adam(12, falling=falling, batch_size=7, learning_rate=2e-2, grad_clip=0.5, seed=3)
    made = fit_rows(fitted, lambda rows: (fitted(data[rows])[:, 0] - target[rows]).square().mean(), 40, config)
    assert made == losses
    assert all(torch.equal(a, b) for a, b in zip(fitted.parameters(), plain.parameters(), strict=True))
    assert not fitted.training


def test_auc_counts_ties_half():
    assert auc([0.9, 0.1], [True, False]) == 1.0
    assert auc([0.5, 0.5, 0.1], [True, False, False]) == 0.75
    assert auc([1.0], [True]) is None
