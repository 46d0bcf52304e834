"""What we built to be acted on: sites, MiniWoB++, a phone, Countdown; each with its tasks, oracle and script."""
