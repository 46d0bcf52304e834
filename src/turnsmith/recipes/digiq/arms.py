"""The arms of Digi-Q: what they share, made when first asked for and kept on disk, and what each learns from it.

One log, one set of image vectors, one set of candidates; the action reader with and without stage 1; critics by TD and
by Monte Carlo. An arm is a choice among these and an extraction; see `recipes.digiq`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnsmith.credit.record import ByTurn, record
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.digiq.readers import Readers
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run, find_run
from turnsmith.trace.store import Store


class Bench:
    """The log with everything that arms share: image vectors, candidates and critics, made when first asked for."""

    def __init__(self, config: Config, run: Run, log: list[Any], behaviour: Any, sources: Mapping[str, Path]) -> None:
        """`sources` says which store has the traces whose ids begin so."""
        self.config, self.run, self.log, self.behaviour, self.sources = config, run, log, behaviour, sources
        self.tokenizer, self.frames = behaviour.tokenizer, behaviour.frames
        self.features = _image_vectors(config, run, log, behaviour)
        source = find_run(config.source[0]).parent if config.source else run.folder
        self.rehearsal = policies.Rehearsal(source, behaviour, config.policy.rehearsal)
        from turnsmith.critics.goal_words import GoalWords
        from turnsmith.critics.qlearning import tabulate

        self.words = GoalWords(behaviour)
        self.steps = tabulate(log, self.features, self.words, config.critics.discount)
        self.features.save(run.folder / "cache")
        self._likelihoods()
        self.readers = Readers(config, run, log, behaviour, self.features)
        self._critics: dict[tuple[bool, str], Any] = {}
        self._candidates: Any = None

    def _likelihoods(self) -> None:
        """log π_β of every executed action, computed once and kept on disk."""
        from turnsmith.critics.screen_features import load_tensors, save_tensors, weights_digest
        from turnsmith.recipes.digiq.candidates import likelihoods

        path, places = self.run.folder / "cache" / "likelihoods.safetensors", self.steps.place
        notes = {"weights": weights_digest(self.behaviour.model), "steps": str(len(places))}
        found = load_tensors(path, notes)
        if found is None:
            actions = [self.log[index].trace.turns[turn].action for index, turn in places]
            with progress_bar("how likely π_β finds what was done", len(places)) as advance:
                found = {"log": likelihoods(self.behaviour, self.log, places, actions, advance)}, notes
            save_tensors(path, *found)
        self.steps = replace(self.steps, likelihood_S=found[0]["log"])

    def learn(self, arm: str) -> Any:
        """The policy of an arm, learned or read back from its checkpoint."""
        name = parse_arm(arm)
        return self._acting(name) if name.acting else self._trained(name)

    def _acting(self, name: ArmName) -> Any:
        """A policy that draws several actions and does the best one."""
        from turnsmith.critics.ranked import RankedPolicy

        numbers = self.config.extraction
        draws = self.behaviour if name.learner == "behaviour" else self.learn(name.trained)
        critics = (lambda: self._critics_of(name.critics)) if name.acting == "ranked" else None
        return RankedPolicy(draws, critics, name.count or numbers.candidates, numbers.pick_temperature)

    def _trained(self, name: ArmName) -> Any:
        from turnsmith.learn import checkpoint
        from turnsmith.learn.fit import make_optimizer
        from turnsmith.learn.optim import OptimConfig

        arm = name.trained
        policy = policies.copy_policy(self.behaviour, arm)
        folder = policies.checkpoints_of(self.run, arm)
        saved = checkpoint.latest(folder)
        if saved is not None:
            checkpoint.load_weights(saved / "model", policy.model)
            return policy
        numbers = self.config.extraction
        examples, notes = self._examples(name, policy)
        if examples:
            notes["loss"] = policies.train_policy(
                f"{arm}: learning",
                policy,
                self.rehearsal.beside(examples, self.config.seed),
                learning_rate=numbers.learning_rate,
                batch_size=numbers.batch_size,
                updates=name.updates or numbers.updates,
                augment=self.config.policy.augment,
                seed=self.config.seed,
                optimizer=make_optimizer(policy.model, OptimConfig(learning_rate=numbers.learning_rate)),
                schedule="cosine",
            )
        else:
            console.print(f"{arm}: nothing to learn from")
        notes["token_kl"] = self._token_kl(policy)
        self.run.log(phase=f"arm-{arm}", iteration=1, examples=len(examples), **notes)
        checkpoint.save(folder, 1, policy.model, policy.tokenizer)
        return policy

    def _examples(self, name: ArmName, policy: Any) -> tuple[list[Any], dict[str, Any]]:
        """What an arm's actor learns from, and figures for the record."""
        from turnsmith.learn.examples import examples_from_traces
        from turnsmith.recipes.digiq.candidates import extract

        arm = name.learner
        if arm in ("fbc", "digirl"):
            chosen = self._offline(arm)
            examples = examples_from_traces([one.trace for one in chosen.episodes], policy, chosen.weights)
            self._keep_credit(name.trained, chosen.values, chosen.advantages)
            return [example for example in examples if example.weight > 0], {"steps": chosen.steps}
        count = name.candidates or self.config.extraction.candidates
        critics = self._critics_of(arm)
        numbers = self.config.extraction
        best = arm == "argmax" or numbers.pick == "best"
        how = arm if arm in ("awr", "reinforce") else "best_of_n" if best else "softmax_of_n"
        used = self.candidates().first(1 if how in ("awr", "reinforce") else count)
        images = [self.steps.images[self.steps.state_S[row]] for row in used.rows for _ in used.actions[0]]
        self.readers.read(arm != "no-representation", images, [deed for deeds in used.deeds for deed in deeds])
        extracted = extract(
            how,  # type: ignore[arg-type]
            critics,
            self.steps,
            self.log,
            used,
            policy,
            margin=numbers.margin,
            temperature=numbers.awr_temperature if arm == "awr" else numbers.pick_temperature,
            seed=self.config.seed,
        )
        self._keep_credit(name.trained, extracted.values, extracted.advantages)
        return extracted.examples, {"kept": extracted.kept, "sensitivity": extracted.sensitivity}

    def _keep_credit(self, arm: str, values: ByTurn, advantages: ByTurn) -> None:
        """Write what an arm made of the log's turns to the runs that the log comes from."""
        for source, path in self.sources.items():
            own = {one.trace.id: one for one in self.log if one.trace.id.startswith(source)}
            made = [
                {id.removeprefix(source): by_turn for id, by_turn in numbers.items() if id in own}
                for numbers in (values, advantages)
            ]
            first = {id.removeprefix(source): one.first for id, one in own.items()}
            learner = arm if path == self.run.store.path else f"{self.run.folder.name}/{arm}"
            try:
                with Store(path) as store:
                    record(store, learner, 1, values=made[0], advantages=made[1], first=first)
            except UserError as error:
                console.print(f"{arm}: its credit could not be kept with the log: {error}")

    def _offline(self, arm: str) -> Any:
        """The choice of the two methods that reweigh logged actions."""
        from turnsmith.critics.episodes import successes
        from turnsmith.critics.values import FitConfig, Nameless, StepCritic
        from turnsmith.recipes.shared.digirl_filter import Chosen, choose

        if arm == "fbc":
            return Chosen.whole(successes(self.log))
        critic = StepCritic(Nameless(self.behaviour), self.features, seed=self.config.seed)
        critic.fit(self.log, FitConfig(self.config.step_critic, seed=self.config.seed))
        return choose(self.log, critic, None, self.config.credit)

    def _critics_of(self, arm: str) -> Any:
        """The critics of an arm; those of `digiq` where it has none of its own."""
        return self.critics(arm != "no-representation", arm if arm in ("mc", "td-0") else "td")

    def critics(self, tuned: bool, backup: str) -> Any:
        """Q and V by "td", "td-0" or "mc", trained when first asked for."""
        from turnsmith.critics.advantage import AdvantageCritics
        from turnsmith.critics.qlearning import Critics

        key = (tuned, backup)
        if key not in self._critics:
            actions = self.readers.actions(tuned)
            numbers = self.config.critics
            if backup == "td-0":
                numbers = replace(numbers, decay=0.0)
            elif backup == "mc":
                numbers = replace(numbers, backup="mc")
            made = AdvantageCritics if numbers.form == "advantage" else Critics
            critics = made(self.words, self.features, actions, numbers, self.config.seed)
            self._fit(critics, tuned, backup)
            self._critics[key] = critics
        return self._critics[key]

    def _fit(self, critics: Any, tuned: bool, backup: str) -> None:
        """Train critics on the log, or read them back."""
        from turnsmith.critics.screen_features import load_tensors, save_tensors, weights_digest

        path, name = self.readers.file("critics", tuned, backup), backup if tuned else f"{backup}, no representation"
        notes = {
            "critics": repr(critics.config), "seed": str(self.config.seed), "steps": str(len(self.steps.place)),
            "reader": critics.actions.weights, "screens": weights_digest(self.features.model),
        }  # fmt: skip
        found = load_tensors(path, notes)
        if found is not None:
            critics.restore(found[0])
            return
        self.readers.read(tuned, [self.steps.images[state] for state in self.steps.state_S.tolist()], self.steps.deeds)
        with progress_bar(f"stage 2: critics by {name}", 1) as advance:
            losses_q, losses_v = critics.fit(self.steps)
            advance(note=f"J_Q {losses_q[-1]:.4f}, J_V {losses_v[-1]:.4f}")
        self.run.log(phase=f"critics {name}", iteration=0, loss_q=losses_q[-1], loss_v=losses_v[-1])
        save_tensors(path, critics.tensors(), notes)

    def candidates(self) -> Any:
        """N actions of π_β for a sample of states, drawn once and kept on disk."""
        from turnsmith.recipes.digiq.candidates import draw_candidates

        if self._candidates is None:
            numbers = self.config.extraction
            total = min(numbers.states, len(self.steps.place))
            with progress_bar("stage 3: candidates", total) as advance:
                self._candidates = draw_candidates(
                    self.behaviour,
                    self.log,
                    self.steps,
                    numbers.candidates,
                    numbers.states,
                    self.config.seed,
                    numbers.temperature,
                    self.run.folder / "cache" / "candidates.safetensors",
                    advance,
                    numbers.where,
                )
        return self._candidates

    def _token_kl(self, policy: Any, states: int = 128) -> float:
        """KL of a policy's next-token distributions from π_β's, along its own samples in logged states."""
        from turnsmith.engine.forward import Prompt
        from turnsmith.learn.divergence import mean_token_kl
        from turnsmith.learn.examples import context_at

        places = self.steps.place[:: max(1, len(self.steps.place) // states)][:states]
        contexts = [context_at(self.log[index].trace, turn) for index, turn in places]
        actions = policy.propose(contexts, [turn_seed(self.config.seed, i) for i in range(len(contexts))])
        prompts = [
            Prompt(action.prompt_ids, policy.encode_prompt(context)[1])
            for action, context in zip(actions, contexts, strict=True)
        ]
        return mean_token_kl(policy.model, self.behaviour.model, prompts, [action.token_ids for action in actions])


def _image_vectors(config: Config, run: Run, log: Sequence[Any], behaviour: Any) -> Any:
    """Frozen image vectors, trained on the screens of the log without its actions and rewards."""
    images = {image.digest: image for one in log for image in one.screens}
    return phones.image_features(run, behaviour, config.features, list(images.values()), config.seed)
