"""Many sessions, one batched policy: requests that arrive while the policy computes form its next batch.

No waiting for a full batch: an idle policy starts at once, and under load the batches grow by themselves. A row's
sample does not depend on its batch (the engine seeds every row by `Context.seed`), so batching changes speed, never
results. A policy whose contexts do not share a computation (an endpoint: `independent = True`) is asked for each on its
own: no session waits for another's reply, and one that gives up takes its request back.
"""

import asyncio

from turnsmith.agents.base import Context, Policy
from turnsmith.trace.types import Action


class Batcher:
    """Gathers `act` requests of concurrent sessions into batched calls of one policy.

    Args:
        policy: who acts.
        max_batch: the most contexts in one call.
    """

    def __init__(self, policy: Policy, max_batch: int = 64) -> None:
        self.policy = policy
        self.max_batch = max_batch
        self._waiting: list[tuple[Context, asyncio.Future[Action]]] = []
        self._running: asyncio.Task[None] | None = None

    async def act(self, context: Context) -> Action:
        """One action for one context.

        Raises:
            Whatever the policy raised for the batch that this context was in.
        """
        if getattr(self.policy, "independent", False):
            return (await self.policy.act([context]))[0]
        future: asyncio.Future[Action] = asyncio.get_running_loop().create_future()
        self._waiting.append((context, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # let every session that is ready now join the first batch
        while self._waiting:
            batch, self._waiting = self._waiting[: self.max_batch], self._waiting[self.max_batch :]
            batch = [(context, future) for context, future in batch if not future.done()]
            if not batch:
                continue
            try:
                actions = await self.policy.act([context for context, _ in batch])
                if len(actions) != len(batch):
                    raise RuntimeError(f"the policy gave {len(actions)} actions for {len(batch)} contexts")
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), action in zip(batch, actions, strict=True):
                if not future.done():
                    future.set_result(action)
