"""Five local web sites with seeded content, their tasks, their oracle and a scripted demonstrator.

| site    | what one does there                                                                      |
|---------|------------------------------------------------------------------------------------------|
| shop    | search, filter and sort products, choose variants, fill a cart, check out                |
| forum   | read boards and threads, reply, vote, open threads, look up members                      |
| docs    | look up options and defaults, follow cross-links, change versions, bookmark              |
| recipes | read ingredients for a number of servings, save, put into collections, rate              |
| courses | find courses, follow prerequisites, enrol into groups, look up teachers                  |
"""

from turnsmith.worlds.sites.courses import COURSES
from turnsmith.worlds.sites.docs import DOCS
from turnsmith.worlds.sites.forum import FORUM
from turnsmith.worlds.sites.kit import Site
from turnsmith.worlds.sites.recipes import RECIPES
from turnsmith.worlds.sites.shop import SHOP

SITES: dict[str, Site] = {site.name: site for site in (SHOP, FORUM, DOCS, RECIPES, COURSES)}
