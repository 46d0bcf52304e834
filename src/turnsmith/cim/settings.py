"""How 8-bit networks are trained, as settings without torch."""

from turnsmith.learn.optim import OptimConfig


def qat_optim(
    steps: int,
    *,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    weight_decay: float = 1e-4,
    warmup: float = 0.05,
    stairs: tuple[int, ...] = (),
) -> OptimConfig:
    """SGD with momentum 0.9 for quantisation-aware training.

    Args:
        steps: updates an epoch.
        epochs: passes over the data.
        batch_size: images an update.
        learning_rate: the peak.
        weight_decay: of all weights.
        warmup: share of all updates over which the rate rises; after it a cosine falls to a hundredth of the peak.
        stairs: epochs at which the rate is divided by 8, instead of warm-up and cosine (WAGE).
    """
    rise = 0 if stairs else max(1, round(warmup * steps * epochs))
    return OptimConfig(
        optimizer="sgd", learning_rate=learning_rate, batch_size=batch_size, epochs=epochs, momentum=0.9,
        weight_decay=weight_decay, grad_clip=0.0, warmup_updates=rise,
        schedule="stairs" if stairs else "late_cosine", final_rate=0.01,
        stairs=tuple(steps * epoch for epoch in stairs), stair_factor=1 / 8,
    )  # fmt: skip
