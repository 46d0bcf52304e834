"""KALIE (arXiv 2409.14066): affordances as five keypoints, learned from few labelled images and many synthetic ones.

The world itself (scenes, camera, executor) is `worlds.tabletop`. Here: labelled images and their files (`labelled`,
`kalie_files`, `lerobot`), affordance-aware synthesis (`warp`, `contexts`, `synthesis`, `composite`, `diffusion`), the
predictors (`network`, `affordance`, `vlm`, `marks`) and pictures of all of it.
"""
