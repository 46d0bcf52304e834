"""WebArena's evaluators (arXiv 2307.13854): what an episode scores, exactly where that is a matter of rules.

`strings` and `urls` are pure rules, `programs` looks at pages in the browser, `fuzzy` is the one question that a model
has to answer, `score` multiplies the parts, `host` serves WebArena's tasks as episodes with this oracle, and `verify`
is behind `turnsmith verify webarena`. Where the authors' code does something that one would not expect, the rule says
so. The configurations are read and checked in `tasks/webarena.py`.
"""
