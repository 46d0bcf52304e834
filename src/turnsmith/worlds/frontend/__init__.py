"""Web pages for somebody who sees the wanted page and can only say what is different (ColBench's frontend design).

`tasks` reads the files, `design` has both sides of the dialogue, `similarity` says how alike two pictures are without
any model, `clip` by the embeddings of a local CLIP.
"""
