"""The stages of the EEG masked-autoencoder study: each is a method that returns JSON; the recipe orders them.

Everything that a stage needs from an earlier one is found on disk (weights of the pretrained encoder, checkpoints), so
any of them can be the first after a restart.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turnsmith.data import data_file
from turnsmith.eeg import files, linear, splits
from turnsmith.eeg.anatomy import HYDROCEL, montage
from turnsmith.eeg.batches import Crops, Source, fit_scaler, no_scaling, steps_an_epoch
from turnsmith.eeg.curves import AXES, compare
from turnsmith.eeg.fit import Fitted, fit_windows, linear_probe, outputs, pretraining_loss, supervised
from turnsmith.eeg.mae import (
    FixedMae,
    PaperMae,
    cosine_loss,
    interpolate_patches,
    interpolate_values,
    mask_tokens,
    mask_values,
)
from turnsmith.eeg.model_file import Card, build, save_model
from turnsmith.eeg.settings import FitConfig, at_rate, paper_optim
from turnsmith.eeg.simulate import BAND_HZ
from turnsmith.eeg.targets import target_of
from turnsmith.eeg.transfer import STARTS, transfer_folder
from turnsmith.eeg.vit import EEGViT, load_image_weights
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.recipes.eeg_mae.config import Config
from turnsmith.recipes.eeg_mae.data import open_data
from turnsmith.runs.once import once

Stage = dict[str, Any]
"""What a stage gives: JSON, with "test", "curve" and what else it measured."""
CROP_STRIDE = 50
"""Samples (0.1 s) between the unlabelled windows that are cut from a whole recording."""


class Study:
    """Data, split and models of one run.

    Attributes:
        config: the recipe's settings.
        folder: of the run.
        data: labelled windows.
        split: by participant.
        target: the task.
        source, whole: the labelled windows as EEGViT reads them (averaged already), and in full for other models.
        unlabelled: the training people's windows that pretraining draws from, and `unlabelled_rows` of it.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.data, recordings = open_data(config, folder)
        self.split = splits.by_participant(self.data.participants)
        labels = self.data.targets
        self.target = target_of(self.data.name.task, labels[self.split.train], config.in_pixels)
        scaler = no_scaling(files.N_CHANS)
        if config.clip:
            scaler = fit_scaler(self.data.eeg, self.split.train, config.clip, config.keep_amplitudes)
        self.whole = Source(self.data.eeg, scaler, self.target.scaled(labels), config.device)
        average = config.model.average
        # Averaged windows are small enough to be kept; a file of whole ones may be larger than memory.
        self.source = self.whole.keep(average) if average > 1 or not config.data else self.whole
        in_full = config.masking.mode == "paper"  # its decoder gives whole windows back
        self.unlabelled, self.unlabelled_rows = self.whole if in_full else self.source, self.split.train
        if config.unlabelled == "recordings" and recordings:
            crops = Crops(list(recordings.values()), files.N_TIMES, CROP_STRIDE)
            self.unlabelled = Source(crops, scaler, device=config.device).keep(1 if in_full else average)
            self.unlabelled_rows = np.arange(len(crops))

    def facts(self) -> Stage:
        """What the data are."""
        people, device = self.data.participants, torch.device(self.config.device)
        return {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "file": str(self.data.name),
            "simulated": not self.config.data,
            "windows": len(people),
            "participants": len(np.unique(people)),
            "unlabelled_windows": len(self.unlabelled_rows),
            **{f"{name}_windows": len(getattr(self.split, name)) for name in ("train", "validation", "test")},
        }

    # -- linear models and the naive mean ------------------------------------------------------------------------------

    def linear(self) -> Stage:
        """Naive mean, and ridge on channel means of 50 ms (the penalty chosen on validation people)."""
        labels, split = self.data.targets, self.split
        naive = np.repeat(labels[split.train].mean(0)[None], len(split.test), 0)
        features = {
            name: np.concatenate([linear.time_bins(np.asarray(self.data.eeg[rows]), 20) for rows in _pieces(which)])
            for name, which in (("train", split.train), ("validation", split.validation), ("test", split.test))
        }
        held = features["validation"], labels[split.validation]
        ridge = linear.select_ridge(features["train"], labels[split.train], held)
        return {
            "naive": self.target.score(naive, labels[split.test]),
            "ridge": self.target.score(ridge.predict(features["test"]), labels[split.test]),
            "test": self.target.score(ridge.predict(features["test"]), labels[split.test]),
        }

    # -- pretraining ---------------------------------------------------------------------------------------------------

    def encoder(self) -> EEGViT:
        """EEGViT of the configured sizes with this seed's random weights."""
        torch.manual_seed(self.config.seed)
        return EEGViT(**self._arguments())

    def _arguments(self) -> Stage:
        sizes = self.config.model
        counts = {"n_chans": files.N_CHANS, "n_times": files.N_TIMES, "n_outputs": len(self.target.outputs)}
        return {**counts, **asdict(sizes)}

    def _mae(self, encoder: EEGViT, mode: str) -> nn.Module:
        masking = self.config.masking
        if mode == "paper":
            return PaperMae(encoder, masking.ratio, masking.decoder_heads)
        return FixedMae(
            encoder, masking.ratio, width=masking.decoder_width, depth=masking.decoder_depth,
            heads=masking.decoder_heads, normalise=masking.normalise,
        )  # fmt: skip

    def pretrain(self, from_image: bool = False) -> Stage:
        """Pretrain on the training people's windows; the encoder's weights are kept for the other stages."""
        encoder = self.encoder()
        if from_image:
            load_image_weights(encoder, self.config.image_weights)
        mae = self._mae(encoder, self.config.masking.mode).to(self.config.device)
        name = "pretrain-image" if from_image else "pretrain"
        fitted = fit_windows(
            mae, pretraining_loss, self.unlabelled, self.unlabelled_rows, self.config.pretrain, self.config.seed,
            self.folder / "checkpoints" / name,
        )  # fmt: skip
        self._keep("mae-image" if from_image else "mae", encoder)
        loss, interpolation = self._held_out_losses(mae)
        return {
            "seconds": fitted.seconds,
            "cpu_seconds": fitted.curve[-1].cpu_seconds,
            "loss": loss,
            "interpolation_loss": interpolation,
            **fitted.as_dict(),
        }

    def _keep(self, name: str, model: nn.Module) -> None:
        """Keep the weights of a model under this name, for the stages that start from them."""
        once(self.folder / "made", f"encoder/{name}", {"seed": self.config.seed}, lambda: _weights(model), TENSORS)

    def _kept(self, name: str) -> dict[str, Tensor]:
        return TENSORS.read(self.folder / "made" / "encoder" / name)

    @torch.no_grad()
    def _held_out_losses(self, mae: nn.Module) -> tuple[float, float]:
        """Loss on validation people: the autoencoder's, and what linear interpolation in time reaches."""
        generator = torch.Generator().manual_seed(0)
        mae.eval()
        ours, theirs = [], []
        for rows in _pieces(self.split.validation[:256], 64):
            eeg = (self.whole if isinstance(mae, PaperMae) else self.source).batch(rows)[0]
            if isinstance(mae, PaperMae):
                mask = mask_values(eeg, mae.ratio, generator)
                hidden = 1 - mask
                ours.append(cosine_loss(mae.reconstruct(eeg * mask) * hidden, eeg * hidden).item())
                theirs.append(cosine_loss(interpolate_values(eeg * mask, mask) * hidden, eeg * hidden).item())
            elif isinstance(mae, FixedMae):
                patches = mae.encoder.patches(eeg)
                keep, hidden = mask_tokens(len(eeg), mae.encoder.tokens, mae.ratio, generator)
                keep, hidden = keep.to(eeg.device), hidden.to(eeg.device)
                wanted = mae.targets(patches, hidden)
                guess = mae.targets(interpolate_patches(patches, mae.encoder.grid, keep), hidden)
                ours.append(nn.functional.mse_loss(mae.reconstruct(patches, keep, hidden), wanted).item())
                theirs.append(nn.functional.mse_loss(guess, wanted).item())
        return float(np.mean(ours)), float(np.mean(theirs))

    def probe(self) -> Stage:
        """Ridge on frozen features: of the pretrained encoder, and of the random one."""
        result: Stage = {}
        for start in ("scratch", "mae"):
            model = self.start(start).to(self.config.device).eval()
            labels, split = self.data.targets, self.split
            _, predicted = linear_probe(
                model.features, self.source, labels, split.train, split.validation, split.test
            )  # fmt: skip
            result[start] = self.target.score(predicted, labels[split.test])
        return result

    # -- fine-tuning ---------------------------------------------------------------------------------------------------

    def start(self, start: str) -> EEGViT:
        """A model before fine-tuning: "scratch", "mae", "image" or "image_mae"."""
        model = self.encoder()
        if start == "image":
            load_image_weights(model, self.config.image_weights)
        elif start != "scratch":
            model.load_state_dict(self._kept("mae-image" if start == "image_mae" else "mae"), strict=False)
        return model

    def finetune(self, start: str, fraction: float) -> Stage:
        """Train on a share of the labels from one start; the error is that of the test people.

        Every start is trained in each of the ways (learning rate, dropped channels), and the validation people choose:
        a start that wants another way than its rival is not held back by it.
        """
        name, settings = f"{start}-{100 * fraction:g}", self.config.finetune
        best: tuple[Fitted, nn.Module, tuple[float, float]] | None = None
        by_way = {}
        for rate, drop in product(self.config.rates or (settings.optim.learning_rate,), self.config.drops):
            way = f"{rate:g}" + (f"-drop{drop:g}" if drop else "")
            model = self.start(start).to(self.config.device)
            fitted = self._fit(model, at_rate(settings, rate), f"{name}-{way}", fraction, drop_channels=drop)
            by_way[way] = fitted.best_error
            if best is None or (fitted.best_error or 0.0) < (best[0].best_error or 0.0):
                best = fitted, model, (rate, drop)
        assert best is not None
        fitted, model, (rate, drop) = best
        if start == "mae" and fraction == 1.0:
            self._keep("finetuned", model)
        chosen = {"learning_rate": rate, "drop_channels": drop, "error_by_way": by_way}
        return {"seconds": fitted.seconds, **chosen, **self._scores(model), **fitted.as_dict()}

    def _fit(
        self,
        model: nn.Module,
        settings: FitConfig,
        name: str,
        fraction: float = 1.0,
        source: Source | None = None,
        drop_channels: float = 0.0,
    ) -> Fitted:
        rows = splits.label_fraction(self.split.train, self.data.participants, fraction, self.config.seed)
        labels, source = self.data.targets[self.split.validation], source or self.source

        def error(model: nn.Module) -> float:
            raw = outputs(model, source, self.split.validation)
            return self.target.score(self.target.predictions(raw), labels)[self.target.error]

        return fit_windows(
            model, supervised(self.target.criterion, drop_channels), source, rows, settings, self.config.seed,
            self.folder / "checkpoints" / name, error,
        )  # fmt: skip

    def _scores(self, model: nn.Module, source: Source | None = None) -> Stage:
        return {
            name: self.target.score(self.predict(model, rows, source), self.data.targets[rows])
            for name, rows in (("validation", self.split.validation), ("test", self.split.test))
        }

    def predict(self, model: nn.Module, rows: np.ndarray, source: Source | None = None) -> np.ndarray:
        """Predictions in the labels' units."""
        return self.target.predictions(outputs(model, source or self.source, rows))

    def finetuned(self) -> EEGViT:
        """The model that was pretrained and fine-tuned on all labels."""
        model = self.encoder()
        model.load_state_dict(self._kept("finetuned"))
        return model.to(self.config.device).eval()

    # -- comparisons ---------------------------------------------------------------------------------------------------

    def paper_check(self) -> Stage:
        """The released pretraining in small, then its linear probe: does it run, and does its loss mean anything?"""
        encoder = self.encoder()
        mae = self._mae(encoder, "paper").to(self.config.device)
        updates = self.config.paper_check
        optim = replace(
            paper_optim(1, 10, updates), batch_size=self.config.pretrain.optim.batch_size, stairs=self._stairs(updates)
        )
        settings = FitConfig(optim=optim, evaluate_every=max(1, updates // 4), keep_best=True)
        place = self.folder / "checkpoints" / "paper-mode"
        fitted = fit_windows(mae, pretraining_loss, self.whole, self.split.train, settings, self.config.seed, place)
        loss, interpolation = self._held_out_losses(mae)
        labels, split = self.data.targets, self.split
        _, predicted = linear_probe(
            encoder.eval().features, self.whole, labels, split.train, split.validation, split.test
        )
        return {
            "seconds": fitted.seconds,
            "loss": loss,
            "interpolation_loss": interpolation,
            "probe": self.target.score(predicted, labels[split.test]),
            **fitted.as_dict(),
        }

    def _stairs(self, updates: int) -> tuple[int, ...]:
        """A tenth of the rate after every ten epochs of the training people's windows."""
        an_epoch = steps_an_epoch(len(self.split.train), self.config.pretrain.optim.batch_size)
        return tuple(range(10 * an_epoch, updates, 10 * an_epoch))

    def baseline(self, name: str) -> Stage:
        """One of EEGEyeNet's networks on all labels."""
        torch.manual_seed(self.config.seed)
        sizes = {"n_chans": files.N_CHANS, "n_times": files.N_TIMES, "n_outputs": len(self.target.outputs)}
        model = build(name, sizes).to(self.config.device)
        fitted = self._fit(model, self.config.baseline_fit, f"baseline-{name}", source=self.whole)
        return {"seconds": fitted.seconds, **self._scores(model, self.whole), **fitted.as_dict()}

    # -- real EEG ------------------------------------------------------------------------------------------------------

    def real_recordings(self) -> dict[str, Path]:
        """The EEGMMIDB runs of one participant, where they are."""
        folder = data_file("eeg/eegmmidb_s001")
        return {path.stem: path for path in sorted(folder.glob("*.edf"))} if folder is not None else {}

    def real(self) -> Stage:
        """Cue side and EOG proxy from three starts, each left/right run held out in turn."""
        place = self.folder / "checkpoints" / "real"
        return transfer_folder(
            self.real_recordings(), self.config.transfer, self.config.seed, place, self.config.device
        )  # fmt: skip

    # -- what comes of it ----------------------------------------------------------------------------------------------

    def comparison(self, done: Mapping[str, Stage]) -> Stage:
        """The figures that the claims are made of, from the stages' results."""
        scratch, mae = (Fitted.from_dict(done[f"{start}-100"]).curve for start in ("scratch", "mae"))
        figures: Stage = {axis: compare(scratch, mae, axis) for axis in AXES}
        figures["pretrain_seconds"] = done["pretrain"]["seconds"]
        figures["finetune_seconds"] = done["scratch-100"]["seconds"]
        error = self.target.error
        figures["test_error_reduction_pct"] = {
            f"{100 * fraction:g}": 100
            * (1 - done[f"mae-{100 * fraction:g}"]["test"][error] / done[f"scratch-{100 * fraction:g}"]["test"][error])
            for fraction in self.config.fractions
        }
        return figures

    def summary(self, done: Mapping[str, Stage]) -> list[Stage]:
        """Rows of `report.json`: name, value, unit."""
        error, unit = self.target.error, self.target.unit
        rows = [{"name": kind, "value": done["linear"][kind][error], "unit": unit} for kind in ("naive", "ridge")]
        rows += [
            {"name": name, "value": result["test"][error], "unit": unit}
            for name, result in done.items()
            if "test" in result and name != "linear"
        ]
        figures = self.comparison(done)
        rows.append({"name": "match ratio (updates)", "value": figures["step"]["match_ratio"], "unit": ""})
        rows.append({"name": "error at half time ratio", "value": figures["step"]["half_time_ratio"], "unit": ""})
        for start in STARTS:
            if f"cue_accuracy_{start}" in done.get("real", {}):
                rows.append(
                    {"name": f"real cue side, {start}", "value": done["real"][f"cue_accuracy_{start}"], "unit": ""}
                )
                rows.append({"name": f"real proxy R2, {start}", "value": done["real"][f"proxy_r2_{start}"], "unit": ""})
        return rows

    def save_model(self, folder: Path) -> Path:
        """The fine-tuned model with its card, for `turnsmith eeg predict`."""
        card = Card(
            "EEGViT",
            self._arguments(),
            tuple(montage(HYDROCEL)),
            files.SAMPLING_RATE,
            files.N_TIMES,
            BAND_HZ,
            tuple(self.source.scaler.spread.tolist()),
            self.source.scaler.clip,
            self.target.outputs,
            tuple(self.target.mean.tolist()),
            tuple(self.target.spread.tolist()),
            note=json.dumps(self.facts()),
            keep_amplitudes=self.source.scaler.keep_amplitudes,
        )
        return save_model(folder, self.finetuned(), card)


def _pieces(rows: np.ndarray, size: int = 256) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
