"""The three stages of Digi-Q: what its arms share, made when first asked for and kept, and what each learns from it.

One log, one set of image vectors, one set of candidates; the action reader with and without stage 1; critics by TD and
by Monte Carlo. An arm is a choice among these and an extraction; see `recipes.digiq.arm_names`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Literal, TypeAlias

from torch import Tensor

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.critics.advantage import AdvantageCritics
from turnsmith.critics.episodes import successes
from turnsmith.critics.fitting import adam
from turnsmith.critics.goal_words import GoalWords
from turnsmith.critics.qlearning import Critics, tabulate
from turnsmith.critics.ranked import RankedPolicy
from turnsmith.critics.screen_features import weights_digest
from turnsmith.critics.values import DelexicalisedTokenizer, StepCritic
from turnsmith.engine.forward import Prompt
from turnsmith.engine.sampling import turn_seed
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.learn.divergence import mean_token_kl
from turnsmith.learn.examples import Example, context_at, examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.digiq.candidates import Candidates, Extraction, draw_candidates, extract, likelihoods
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.digiq.log import Log
from turnsmith.recipes.digiq.readers import Readers
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.recipes.shared.digirl_filter import Chosen, choose
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run

Backup = Literal["td", "td-0", "mc"]
Notes: TypeAlias = dict[str, float | None]
"""Figures for the record."""


class SharedStages:
    """The log with everything that arms share: image vectors, candidates and critics, made when first asked for."""

    def __init__(self, config: Config, run: Run, log: Log) -> None:
        self.config, self.run, self.log, self.behaviour = config, run, log, log.behaviour
        screens = phones.screens_of(log.episodes)
        self.features = phones.image_features(run, log.behaviour, config.features, screens, config.seed)
        digests = [image.digest for image in screens]
        inputs = {"weights": self.features.weights, "screens": phones.digest_of(screens)}
        vectors = run.once("features/screens", inputs, lambda: {"values": self.features(screens)}, TENSORS)
        self.features.add(digests, vectors["values"])
        self.rehearsal = policies.Rehearsal(log.folder, log.behaviour, config.policy.rehearsal)
        self.words = GoalWords(log.behaviour)
        steps = tabulate(log.episodes, self.features, self.words, config.critics.discount)
        self.steps = replace(steps, likelihood_S=self._likelihoods(steps.place))
        self.readers = Readers(config, run, log, self.features)
        self._critics: dict[tuple[bool, Backup], Critics] = {}
        self._candidates: Candidates | None = None

    def _likelihoods(self, places: list[tuple[int, int]]) -> Tensor:
        """log π_β of every executed action."""

        def make() -> dict[str, Tensor]:
            episodes = self.log.episodes
            actions = [episodes[index].trace.turns[turn].action for index, turn in places]
            with progress_bar("how likely π_β finds what was done", len(places)) as advance:
                return {"log": likelihoods(self.behaviour, episodes, places, actions, advance)}

        inputs = {"weights": weights_digest(self.behaviour.model), "steps": len(places)}
        return self.run.once("likelihoods", inputs, make, TENSORS)["log"]

    # -- arms

    def learn(self, arm: str) -> DevicePolicy | RankedPolicy:
        """The policy of an arm, learned or read back."""
        name = parse_arm(arm)
        if not name.acting:
            return self._trained(name)
        extraction = self.config.extraction
        draws = self.behaviour if name.learner == "behaviour" else self._trained(parse_arm(name.trained))
        critics = (lambda: self._critics_of(name.critics)) if name.acting == "ranked" else None
        return RankedPolicy(draws, critics, name.count or extraction.candidates, extraction.pick_temperature)

    def _trained(self, name: ArmName) -> DevicePolicy:
        arm, config = name.trained, self.config
        kept = policies.PolicyFormat(config.policy, config.features, self.behaviour.frames, config.device, arm)
        inputs = {
            "extraction": asdict(config.extraction), "critics": asdict(config.critics), "credit": asdict(config.credit),
            "stage_1": asdict(config.representation), "behaviour": weights_digest(self.behaviour.model),
            "seed": config.seed, "steps": len(self.steps.place),
        }  # fmt: skip
        return self.run.once(f"arms/{arm}", inputs, lambda: self._train(name), kept)

    def _train(self, name: ArmName) -> DevicePolicy:
        """The policy that an arm's actor learns, from π_β."""
        arm, extraction, seed = name.trained, self.config.extraction, self.config.seed
        policy = self.behaviour.copy(arm)
        examples, notes = self._examples(name, policy)
        if examples:
            optim = policies.actor_optim(
                name.updates or extraction.updates,
                extraction.batch_size,
                extraction.learning_rate,
                extraction.schedule,
                seed,
            )
            notes["loss"] = policies.train_policy(
                f"{arm}: learning",
                policy,
                self.rehearsal.beside(examples, seed),
                optim,
                self.config.policy.augment,
                make_optimizer(policy.model, optim),
            )
        else:
            console.print(f"{arm}: nothing to learn from")
        notes["token_kl"] = self._token_kl(policy)
        self.run.log(phase=f"arm-{arm}", iteration=1, examples=len(examples), **notes)
        return policy

    def _examples(self, name: ArmName, policy: DevicePolicy) -> tuple[list[Example], Notes]:
        """What an arm's actor learns from, and figures for the record; its credit goes into the log."""
        arm, extraction = name.learner, self.config.extraction
        if arm in ("fbc", "digirl"):
            chosen = self._offline(arm)
            self.log.keep_credit(self.run, name.trained, chosen.values, chosen.advantages)
            traces = [episode.trace for episode in chosen.episodes]
            examples = examples_from_traces(traces, policy, chosen.weights)
            return [example for example in examples if example.weight > 0], {"steps": chosen.steps}
        critics = self._critics_of(arm)
        how = self._extraction(arm)
        executed = how in ("awr", "reinforce")
        used = self.candidates().first(1 if executed else name.candidates or extraction.candidates)
        images = [self.steps.images[self.steps.state_S[row]] for row in used.rows for _ in used.actions[0]]
        flat = [action for actions in used.critic_actions for action in actions]
        self.readers.read("candidates", arm != "no-representation", images, flat)
        extracted = extract(
            how,
            critics,
            self.steps,
            self.log.episodes,
            used,
            policy,
            margin=extraction.margin,
            temperature=extraction.awr_temperature if arm == "awr" else extraction.pick_temperature,
            seed=self.config.seed,
        )
        self.log.keep_credit(self.run, name.trained, extracted.values, extracted.advantages)
        return extracted.examples, {"kept": extracted.kept, "sensitivity": extracted.sensitivity}

    def _extraction(self, arm: str) -> Extraction:
        if arm == "awr" or arm == "reinforce":
            return arm
        return "best_of_n" if arm == "argmax" or self.config.extraction.pick == "best" else "softmax_of_n"

    def _offline(self, arm: str) -> Chosen:
        """The choice of the two methods that reweigh logged actions."""
        if arm == "fbc":
            return Chosen.whole(successes(self.log.episodes))
        seed = self.config.seed
        critic = StepCritic(DelexicalisedTokenizer(self.behaviour), self.features, seed=seed)
        critic.fit(self.log.episodes, adam(self.config.step_critic, seed=seed))
        return choose(self.log.episodes, critic, None, self.config.credit)

    # -- critics and candidates

    def _critics_of(self, arm: str) -> Critics:
        """The critics of an arm; those of `digiq` where it has none of its own."""
        backups: Mapping[str, Backup] = {"mc": "mc", "td-0": "td-0"}
        return self.critics(arm != "no-representation", backups.get(arm, "td"))

    def critics(self, tuned: bool, backup: Backup) -> Critics:
        """Q and V on features of actions with or without stage 1, trained when first asked for."""
        key = (tuned, backup)
        if key not in self._critics:
            config = self.config.critics
            if backup == "td-0":
                config = replace(config, decay=0.0)
            elif backup == "mc":
                config = replace(config, backup="mc")
            kind = AdvantageCritics if config.form == "advantage" else Critics
            critics = kind(self.words, self.features, self.readers.actions(tuned), config, self.config.seed)
            inputs = {
                "critics": asdict(config), "seed": self.config.seed, "steps": len(self.steps.place),
                "reader": critics.actions.weights, "screens": self.features.weights,
            }  # fmt: skip
            name = f"critics/{backup}{'' if tuned else '-plain'}"
            critics.restore(self.run.once(name, inputs, self._fit(critics, tuned, backup), TENSORS))
            self._critics[key] = critics
        return self._critics[key]

    def _fit(self, critics: Critics, tuned: bool, backup: Backup) -> Callable[[], dict[str, Tensor]]:
        """What trains critics on the log."""
        name = backup if tuned else f"{backup}, no representation"

        def make() -> dict[str, Tensor]:
            images = [self.steps.images[state] for state in self.steps.state_S.tolist()]
            self.readers.read("log", tuned, images, self.steps.actions)
            with progress_bar(f"stage 2: critics by {name}", 1) as advance:
                losses_q, losses_v = critics.fit(self.steps)
                advance(note=f"J_Q {losses_q[-1]:.4f}, J_V {losses_v[-1]:.4f}")
            self.run.log(phase=f"critics {name}", iteration=0, loss_q=losses_q[-1], loss_v=losses_v[-1])
            return critics.tensors()

        return make

    def candidates(self) -> Candidates:
        """N actions of π_β for a sample of states, drawn once and kept."""
        if self._candidates is None:
            extraction = self.config.extraction
            total = min(extraction.states, len(self.steps.place))
            with progress_bar("stage 3: candidates", total) as advance:
                self._candidates = draw_candidates(
                    self.run, self.behaviour, self.log.episodes, self.steps, extraction, self.config.seed, advance
                )
        return self._candidates

    def _token_kl(self, policy: DevicePolicy, states: int = 128) -> float:
        """KL of a policy's next-token distributions from π_β's, along its own samples in logged states."""
        places = self.steps.place[:: max(1, len(self.steps.place) // states)][:states]
        contexts = [context_at(self.log.episodes[index].trace, turn) for index, turn in places]
        actions = policy.propose(contexts, [turn_seed(self.config.seed, i) for i in range(len(contexts))])
        prompts = [
            Prompt(action.prompt_ids, policy.encode_prompt(context)[1])
            for action, context in zip(actions, contexts, strict=True)
        ]
        return mean_token_kl(policy.model, self.behaviour.model, prompts, [action.token_ids for action in actions])
