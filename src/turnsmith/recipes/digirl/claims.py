"""The claims of `results/digirl.json`: what the finished runs of all seeds amount to."""

from collections.abc import Mapping
from typing import Any

from turnsmith.evaluate.claims import Claim
from turnsmith.recipes.shared.device_claims import Rewards, difference, level, record_seeds


def digirl_claims(rewards: Mapping[int, Rewards], iterations: int, drift: int) -> list[Claim]:
    """The claims of `results/digirl.json` from the rewards of each seed."""
    end = {arm: f"eval-{arm}/{iterations}" for arm in ("fbc", "digirl")}
    claims = [
        level(rewards, "eval-sft/0", "sft_success", "Supervised first policy on held-out tasks", "17.7 % (WebShop)"),
        level(rewards, end["fbc"], "fbc_success", "Filtered behaviour cloning, off-to-on", "57.8 % (WebShop)"),
        level(rewards, end["digirl"], "digirl_success", "DigiRL, off-to-on", "67.2 % (WebShop)"),
        difference(
            rewards,
            end["digirl"],
            end["fbc"],
            "over_fbc_points",
            "DigiRL above filtered behaviour cloning, in points, at equal episodes and updates",
            ">= 8 and interval above 0",
            paper="9.4 points (WebShop)",
            note="Paired by task, bootstrap over seeds, then tasks.",
        ),
    ]
    if all({"train-digirl", "train-fbc"} <= set(by_key) for by_key in rewards.values()):
        words = "DigiRL above filtered BC on the fresh training tasks of all online iterations, in points"
        claims.append(difference(rewards, "train-digirl", "train-fbc", "online_gain_points", words, ""))
    ways = (f"eval-continual/{drift}", f"eval-frozen/{drift}")
    if all(way in by_key for by_key in rewards.values() for way in ways):
        claims.append(
            difference(
                rewards,
                *ways,
                "drift_gain_points",
                "Under drifting layouts, going on learning above staying frozen, in points",
                "> 0 and interval above 0",
                paper="65.9 against 59.9 %",
            )
        )
    return claims


def record_digirl(config: Any) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digirl.json`."""
    ends = config.iterations, config.drift.iterations
    record_seeds("digirl", config, lambda rewards, _: digirl_claims(rewards, *ends), ignore=("first",))
