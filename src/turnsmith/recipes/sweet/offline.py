"""SWEET-RL on logs of your own: `turnsmith run sweet --from RUN [--model FOLDER]`.

    policy = a Hugging Face model, or a small one from scratch, supervised on the log's agent turns
    A      = the turn critic of `turnsmith credit`, which may read the tasks' hidden information
    policy <- at turns of the log: candidates of the policy, ranked by A; DPO of the better against the worse;
              turns of the log with a positive advantage are anchors (NLL)

Nothing is played, so nothing here can say how often the new policy succeeds: what is logged is the critic's mean score
of fresh replies on dialogues that were held out, before and after. Try the policy before you trust it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.agents.load import load_model, load_tokenizer
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.critics.log_credit import LogCredit, credit_log, hidden_texts
from turnsmith.critics.turn_likelihood import encode, transcript
from turnsmith.critics.turn_words import describe
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import end_tokens, sample
from turnsmith.engine.models import LanguageModel, Tokenizer
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.learn.checkpoint import ModelFormat
from turnsmith.learn.examples import Example
from turnsmith.learn.preference import Comparison, PreferenceConfig, anchor
from turnsmith.learn.preference import train as train_preferences
from turnsmith.learn.sft import train as train_sft
from turnsmith.recipes.sweet.config import Config
from turnsmith.recipes.sweet.data import Context, turn_comparison
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run, find_run
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Trace

_NEW_TOKENS = 64
_HELD_OUT = 10
"""One dialogue in so many is held out."""
_JUDGED = 60


@dataclass(frozen=True, slots=True)
class _Place:
    """A turn of the log: whose, which, and its prompt and reply as tokens."""

    number: int
    turn: int
    prompt: tuple[int, ...]
    reply: tuple[int, ...]


def learn_from_logs(config: Config, run: Run) -> Path:
    """Train a policy from the traces of `config.source`; returns the folder of its model.

    Raises:
        UserError: if the source has too few outcomes, or the model cannot be loaded.
    """
    run.report(status="running", recipe="sweet", config=run.config)
    with Store(find_run(config.source), read_only=True) as store:
        traces = list(store.traces())
    hidden = hidden_texts(traces, "*") if any(trace.task.hidden for trace in traces) else [""] * len(traces)
    with progress_bar("learning which turns matter", 1) as advance:
        credit = credit_log(traces, "sweet", hidden=hidden, on_fit=lambda done, total: advance(1 / total))
    secrets = dict(zip((trace.id for trace in traces), hidden, strict=True))
    model, tokenizer = _model_of(config, credit.traces)
    log = _Log(config, credit, secrets, tokenizer, tuple(end_tokens(model, tokenizer)))
    train, held = log.split()
    settings = {key: value for key, value in run.config.items() if key not in ("name", "command", "arms", "best_of")}

    base = run.once("offline/base", settings, lambda: _supervised(config, model, train), ModelFormat(model, tokenizer))
    base = base.eval()
    before = _mean(log.rated(base, held, config.seed + 1)[1])
    learned = ModelFormat(base, tokenizer)
    policy = run.once("offline/policy", settings, lambda: _preferred(log, base, train), learned).eval()
    after = _mean(log.rated(policy, held, config.seed + 1)[1])
    run.log(phase="offline", critic_score_before=before, critic_score_after=after, episodes=len(credit.traces),
            explained=1 - credit.fitted.log_loss / max(1e-9, credit.fitted.base_loss))  # fmt: skip
    console.print(f"the critic's score of replies in held-out dialogues: {before:+.3f} -> {after:+.3f} (log-odds)")
    folder = run.folder / "policy"
    policy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    run.report(status="done")
    console.print(f"the policy is in {folder}; no episode was played with it")
    return folder


@dataclass(frozen=True, slots=True)
class _Log:
    """A log with its critic, read with the tokens of the policy that learns.

    Attributes:
        credit: what the critic says of it.
        secrets: what the critic alone may read, by the trace's id.
        ends: the ids that end a reply.
    """

    config: Config
    credit: LogCredit
    secrets: dict[str, str]
    tokenizer: Tokenizer
    ends: tuple[int, ...]

    def split(self) -> tuple[list[_Place], list[_Place]]:
        """The turns to learn from, and some of the dialogues that are held out."""
        places = _places(self.tokenizer, self.credit.traces, self.ends[0])
        held = [place for place in places if place.number % _HELD_OUT == 0]
        judged = random.Random(self.config.seed).sample(held, k=min(_JUDGED, len(held)))
        return [place for place in places if place.number % _HELD_OUT], judged

    def rated(
        self, model: LanguageModel, places: Sequence[_Place], seed: int
    ) -> tuple[list[list[tuple[int, ...]]], list[list[float]]]:
        """Fresh replies of a model at these turns, and the critic's score of each."""
        drawn = self._draw(model, places, seed)
        return drawn, [
            [self._score(place, str(self.tokenizer.decode(ids, skip_special_tokens=True))) for ids in group]
            for place, group in zip(places, drawn, strict=True)
        ]

    def _draw(self, model: LanguageModel, places: Sequence[_Place], seed: int) -> list[list[tuple[int, ...]]]:
        found: list[list[tuple[int, ...]]] = []
        count = self.config.candidates
        with progress_bar(f"{count} candidates a turn", len(places)) as advance:
            for start in range(0, len(places), 50):
                part = places[start : start + 50]
                prompts = [prompt for place in part for prompt in [Prompt(place.prompt)] * count]
                seeds = [turn_seed(seed, start * count + number) for number in range(len(prompts))]
                drawn = iter(sample(model, prompts, seeds, Sampling(max_new_tokens=_NEW_TOKENS), self.ends))
                found += [[next(drawn).token_ids for _ in range(count)] for _ in part]
                advance(len(part))
        return found

    def _score(self, place: _Place, text: str) -> float:
        """The critic's score of another reply at this turn."""
        trace = self.credit.traces[place.number]
        turn = replace(trace.turns[place.turn], action=Action(text.strip()), info={})
        changed = replace(trace, turns=(*trace.turns[: place.turn], turn))
        described = describe(changed, self.secrets[trace.id], self.credit.vocabulary)
        return self.credit.fitted.score(described.actions[place.turn])


def _supervised(config: Config, model: LanguageModel, train: Sequence[_Place]) -> LanguageModel:
    """A small model learns the log's replies; one from a folder knows how to speak."""
    if not config.model:
        examples = [_example(place) for place in train]
        optim = replace(config.base.optim, seed=config.seed)
        with progress_bar("supervised on the log", optim.updates(len(examples))) as step:
            train_sft(model, examples, optim, on_update=lambda _: step())
    return model


def _preferred(log: _Log, base: LanguageModel, train: Sequence[_Place]) -> LanguageModel:
    """DPO, in place, of the better against the worse of fresh replies; replies of the log that helped are anchors."""
    config, credit = log.config, log.credit
    places = random.Random(config.seed).sample(train, k=min(config.contexts, len(train)))
    source = random.Random(f"pairs/{config.seed}")
    found: list[Comparison] = []
    for place, group, scores in zip(places, *log.rated(base, places, config.seed), strict=True):
        context = Context(credit.traces[place.number].task, place.prompt, (), place.reply, False, False)
        made = turn_comparison(context, group, scores, config.pairs, config.pairing, source)
        found += [] if made is None else [made]
        if credit.advantages[place.number][place.turn] > 0:
            found.append(anchor(_example(place)))
    preference = PreferenceConfig(beta=config.beta, nll=config.nll)
    optim = replace(config.actor, seed=config.seed)
    with progress_bar(f"{len(found):,} comparisons", optim.updates(len(found))) as step:
        train_preferences(base, found, preference, optim, on_update=lambda _: step())
    return base


def _example(place: _Place) -> Example:
    return Example(place.prompt, place.reply, (True,) * len(place.reply))


def _model_of(config: Config, traces: Sequence[Trace]) -> tuple[LanguageModel, Tokenizer]:
    if config.model:
        return load_model(Path(config.model)), load_tokenizer(Path(config.model))[0]
    texts = [message.text for trace in traces for message in transcript(trace)]
    tokenizer = train_tokenizer(texts)
    size = config.base
    return new_copy_llama(len(tokenizer), size.width, size.layers, size.heads, 4096, config.seed), tokenizer


def _places(tokenizer: Tokenizer, traces: Sequence[Trace], end: int) -> list[_Place]:
    """Every turn of the log with the tokens before it and its own; what the agent does not know is not among them."""
    found = []
    for number, trace in enumerate(traces):
        ids, turns = encode(tokenizer, transcript(trace))
        for turn in sorted(set(turns) - {-1}):
            first = turns.index(turn)
            last = first + turns[first:].count(turn)
            if first:
                reply = tuple(ids[first:last])
                found.append(_Place(number, turn, tuple(ids[:first]), reply if reply[-1] == end else (*reply, end)))
    return found


def _mean(scores: Sequence[Sequence[float]]) -> float:
    flat = [score for row in scores for score in row]
    return sum(flat) / max(1, len(flat))
