"""The sandbox: where code that a model wrote is run. See docs/sandbox.md.

with Sandbox(mode="fresh") as sandbox:
    result = sandbox.run("def double(x): return 2 * x", ["double(21)"])
assert result.ending is Ending.OK and result.value == 42
"""

from turnsmith.envs.sandbox.sandbox import Sandbox, SandboxPool
from turnsmith.envs.sandbox.types import Ending, Function, Json, Limits, Plain, Reply, Result, Runner, Tier
from turnsmith.envs.sandbox.values import same

__all__ = [
    "Ending",
    "Function",
    "Json",
    "Limits",
    "Plain",
    "Reply",
    "Result",
    "Runner",
    "Sandbox",
    "SandboxPool",
    "Tier",
    "same",
]
