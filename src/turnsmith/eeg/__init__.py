"""EEG: gaze from brain signals, with masked pretraining (arXiv 2408.05375) on the EEGEyeNet benchmark's formats.

`files` reads and writes EEGEyeNet's npz files, `prepare` cuts them from raw event tables, `simulate` makes such
recordings from physics, `recordings` brings in real ones through MNE. `vit`, `mae` and `baselines` are the models,
`fit` trains them, `metrics` judges them. `cue`, `proxy` and `transfer` are what can be shown on a real recording
without an eye tracker. `study` puts the stages together for the recipe.
"""
