"""Many episodes at once: workers, horizons, budgets, retries, faults."""
