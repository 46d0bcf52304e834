"""BrowserGym, both ways (arXiv 2412.05467): our tasks for its agents, and its tasks for ours.

- `gym_env.GymEnvironment`: any browser environment of ours as a gymnasium environment with BrowserGym's observations
  and action strings. It needs gymnasium (`pip install 'turnsmith[gym]'`).
- `tasks.BrowserGymTasks`: BrowserGym's registered environments as an `envs.base.Environment`. It needs `browsergym`,
  whose pins (Playwright 1.44) conflict with ours: use a virtual environment of its own (docs/browsergym.md).

`calls` translates actions: an answer is `send_msg_to_user`, the answer "N/A" is `report_infeasible`.
"""
