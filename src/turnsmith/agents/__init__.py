"""Who acts: the policy protocol, prompts, action grammars, and the policies themselves."""
