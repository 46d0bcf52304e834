"""Settings of trainings on EEG windows, without torch: recipes have them in their configurations."""

from dataclasses import dataclass, field, replace

from turnsmith.learn.optim import OptimConfig, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """One training. The defaults are those of EEG-MAE's released code (arXiv 2408.05375), evaluated once an epoch.

    Attributes:
        optim: rates and sizes; `max_updates` is how many updates there are.
        evaluate_every: updates between evaluations.
        patience: evaluations without a better one before stopping; 0 never stops early.
        keep_best: end with the weights of the best evaluation; False ends with the last ones, as released.
        shuffle: draw a new order each epoch; False goes through the rows as they stand, as released.
    """

    optim: OptimConfig = field(default_factory=lambda: paper_optim(20, 6))
    evaluate_every: int = 235
    patience: int = 0
    keep_best: bool = False
    shuffle: bool = False

    @property
    def updates(self) -> int:
        """How many there are."""
        assert self.optim.max_updates is not None, "a training on windows says how many updates it has"
        return self.optim.max_updates


PAPER_EPOCH = 235
"""Updates of 64 windows that go through the training people's share (about 15,000 of 21,464) once."""


def paper_optim(epochs: int, stair_epochs: int, an_epoch: int = PAPER_EPOCH) -> OptimConfig:
    """Adam at 1e-4, a tenth of it every `stair_epochs` epochs: 30 and 10 in pretraining, 20 and 6 in fine-tuning."""
    stairs = tuple(epoch * an_epoch for epoch in range(stair_epochs, epochs, stair_epochs))
    return OptimConfig(
        learning_rate=1e-4, batch_size=64, max_updates=epochs * an_epoch, warmup_updates=0, schedule="stairs",
        stairs=stairs, weight_decay=0.0, betas=(0.9, 0.999), grad_clip=0.0,
    )  # fmt: skip


def small_fit(
    updates: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    warmup: int = 20,
    evaluate_every: int = 16,
    schedule: Schedule = "late_cosine",
) -> FitConfig:
    """What our small models take: AdamW with decay, a late cosine to 0, shuffled, the best weights kept."""
    optim = OptimConfig(
        learning_rate=learning_rate, batch_size=batch_size, max_updates=updates, warmup_updates=warmup,
        schedule=schedule, final_rate=0.0, weight_decay=0.05, betas=(0.9, 0.999),
    )  # fmt: skip
    return FitConfig(optim=optim, evaluate_every=evaluate_every, keep_best=True, shuffle=True)


def at_rate(config: FitConfig, learning_rate: float) -> FitConfig:
    """The same training at another rate."""
    return replace(config, optim=replace(config.optim, learning_rate=learning_rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """Masked pretraining on a real recording: sizes and schedules, the same for every start. All of this is ours.

    Attributes:
        window_s: length of a window.
        stride_s: between the windows of continuous EEG.
        width, depth, heads, filters, kernel, patch_chans: of the encoder; 0 patch channels are all of them.
        ratio: share of tokens hidden in pretraining.
        pretrain, cue, proxy: schedules.
        label_fraction: share of the proxy's training windows whose labels are used (in contiguous time).
        jitter_s: training trials are also cut this much earlier and later, in steps of a fifth of it.
        people: simulated people for `mae_simulated`; 0 leaves that start out.
        dots: looked at by each of them.
    """

    window_s: float = 1.0
    stride_s: float = 0.2
    width: int = 64
    depth: int = 4
    heads: int = 4
    filters: int = 8
    kernel: int = 16
    patch_chans: int = 0
    ratio: float = 0.5
    pretrain: FitConfig = field(
        default_factory=lambda: small_fit(1500, learning_rate=2e-3, warmup=100, evaluate_every=250)
    )
    cue: FitConfig = field(default_factory=lambda: small_fit(40, 32, warmup=5, evaluate_every=40))
    proxy: FitConfig = field(default_factory=lambda: small_fit(40, 32, warmup=5, evaluate_every=40))
    label_fraction: float = 0.1
    jitter_s: float = 0.1
    people: int = 6
    dots: int = 60
