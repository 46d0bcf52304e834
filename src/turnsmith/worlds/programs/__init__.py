"""Programs for somebody who knows what is wanted and says so only when asked (ColBench, arXiv 2503.15478).

`spec` has the local family of tasks, `dialogue` the small language that both sides speak, `play` its episodes;
`colbench` reads the official files, `backend` plays them with models behind endpoints, `score` has the checkers.
"""
