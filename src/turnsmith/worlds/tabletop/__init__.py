"""A table top in MuJoCo, seen by one RGB-D camera and worked on by a simple gripper: KALIE's five tasks.

Task names and geometry sets are in `tasks` (which loads no MuJoCo); `scenes/` builds one scene, `camera` looks at it,
`grasp` and `executor` turn five keypoints into motion, `trial` plays one whole attempt, `environment` puts it behind
the contract of `envs.base`.
"""
