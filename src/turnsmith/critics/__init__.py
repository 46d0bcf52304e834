"""Networks that value states, actions and turns, and how they are fitted."""
