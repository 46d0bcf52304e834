"""Programs for somebody who knows what is wanted and says so only when asked (ColBench, arXiv 2503.15478).

`spec` has the local family of tasks, `user` who answers questions, `dialogue` the small language that both speak,
`score` the checkers, `colbench` the official files.
"""
