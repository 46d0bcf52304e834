"""`turnsmith eeg`: gaze and cues from EEG recordings.

  cue FOLDER               decode left/right (or top/bottom) targets from EDF runs, leaving one run out
  proxy FOLDER             regress the horizontal EOG from the channels that are not it, leaving one run out
  transfer FOLDER          both with a small EEGViT: pretrained against random starts, leaving one run out
  predict MODEL RECORDING  gaze along a recording, as CSV and a picture
  simulate OUT             an EEGEyeNet npz file in a folder, or one person's recording (OUT.edf), from physics
  prepare FOLDER OUT       an EEGEyeNet npz file from raw recordings with event tables

Training is `turnsmith run eeg_mae`.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from turnsmith.errors import UserError, require

if TYPE_CHECKING:
    import numpy as np

    from turnsmith.eeg.files import FileName


def main(argv: list[str]) -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(
        prog="turnsmith eeg", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="WHAT")

    cue = verbs.add_parser("cue", help="decode the side of the target from EDF runs")
    cue.add_argument("folder", help="holds EDF runs such as S001R03.edf, annotated T1 and T2")
    cue.add_argument("--json", action="store_true", help="print JSON")
    cue.add_argument("--permutations", type=int, default=200, help="shuffled repetitions for the chance level")
    cue.add_argument("--seed", type=int, default=0)
    cue.add_argument("--record", action="store_true", help="write results/eeg_mae.json")
    cue.set_defaults(run=_cue)

    proxy = verbs.add_parser("proxy", help="regress the horizontal EOG from other channels")
    proxy.add_argument("folder", help="holds EDF runs of one person; or one recording with two EOG channels")
    proxy.add_argument("--json", action="store_true", help="print JSON")
    proxy.add_argument("--record", action="store_true", help="write results/eeg_mae.json")
    proxy.set_defaults(run=_proxy)

    transfer = verbs.add_parser("transfer", help="pretrained against random starts on EDF runs")
    transfer.add_argument("folder", help="holds EDF runs of one person, left and right targets among them")
    transfer.add_argument("--seeds", type=int, default=1, help="how many, from 0 on; those done before are read again")
    transfer.add_argument("--record", action="store_true", help="write results/eeg_mae.json")
    transfer.set_defaults(run=_transfer)

    predict = verbs.add_parser("predict", help="gaze along a recording")
    predict.add_argument("model", help="a folder such as runs/NAME/model")
    predict.add_argument("recording", help="EDF, .set or another format that MNE reads")
    predict.add_argument("--out", help="the CSV to write; the picture goes beside it (default: beside the recording)")
    predict.add_argument("--step", type=float, default=0.1, help="seconds between windows")
    predict.add_argument("--resample", action="store_true", help="convert another sampling rate")
    predict.add_argument("--scale", type=float, default=1.0, help="multiply amplitudes, where a file's units are wrong")
    predict.add_argument("--device", default="cpu")
    predict.set_defaults(run=_predict)

    simulate = verbs.add_parser("simulate", help="make an EEGEyeNet file, or a recording, from physics")
    simulate.add_argument("file", help="a folder for the npz file, or one person's FILE.edf (gaze goes to FILE.csv)")
    simulate.add_argument("--task", default="Position", choices=("Position", "LR", "Direction"))
    simulate.add_argument("--dataset", choices=("dots", "antisaccade", "processing_speed"))
    simulate.add_argument("--cleaning", default="min", choices=("min", "max"), help="max removes the eyes' signal")
    simulate.add_argument("--participants", type=int, default=27)
    simulate.add_argument("--windows", type=int, default=60, help="of each participant; dots shown, for EDF")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--float32", action="store_true", help="half the size of the originals' type")
    simulate.set_defaults(run=_simulate)

    prepare = verbs.add_parser("prepare", help="cut an EEGEyeNet file from raw recordings")
    prepare.add_argument("folder", help="holds a folder a participant with synchronised .mat recordings")
    prepare.add_argument("out", help="the folder for the npz file")
    prepare.add_argument("--task", default="Position", choices=("Position", "LR", "Direction"))
    prepare.add_argument("--dataset", choices=("dots", "antisaccade", "processing_speed"))
    prepare.add_argument("--cleaning", default="min", choices=("min", "max"))
    prepare.add_argument("--hilbert", action="store_true", help="the recordings hold Hilbert features")
    prepare.set_defaults(run=_prepare)

    options = parser.parse_args(argv)
    require("mne", "eeg")
    return options.run(options)


def _cue(options: argparse.Namespace) -> int:
    from turnsmith.eeg.cue import CueSettings, decode_folder

    if options.permutations < 0:
        raise UserError("--permutations is a count: 0 or more.")
    settings = CueSettings(permutations=options.permutations, seed=options.seed)
    results = decode_folder(options.folder, settings)
    if options.record:
        from turnsmith.evaluate.claims import record
        from turnsmith.recipes.eeg_mae.claims import cue_claims

        record("eeg_mae", cue_claims(results), "turnsmith eeg cue $TURNSMITH_DATA/eeg/eegmmidb_s001 --record")
    if options.json:
        kinds = {kind: result.as_dict() for kind, result in results.items()}
        first, *others = kinds.values()
        # The left/right runs, where there are some, stand at the top; the other kind beside them.
        print(json.dumps({**first, "others": others}, indent=1))
        return 0
    for kind, result in results.items():
        low, high = result.ci95
        print(
            f"{kind}: {100 * result.accuracy:.1f} % of {result.trials} trials ({100 * low:.0f} to {100 * high:.0f} %)"
        )
        print("  " + ", ".join(f"{run} {100 * share:.0f} %" for run, share in result.by_run.items()))
        if settings.permutations:
            print(
                f"  shuffled labels: {100 * result.permutation_mean:.1f} % on average, 95 % of them below "
                f"{100 * result.permutation_95:.1f} %; p = {result.p_value:.3f}"
            )
    print("One participant, cue side: this is neither gaze nor says anything about other people.")
    return 0


def _proxy(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from turnsmith.eeg.cue import recordings_in
    from turnsmith.eeg.proxy import in_folds, leave_one_run_out, temples
    from turnsmith.eeg.recordings import read_recording

    if Path(options.folder).is_file():
        signal = read_recording(options.folder)
        result = in_folds(signal, *temples(signal))
        if options.record:
            from turnsmith.evaluate.claims import record
            from turnsmith.recipes.eeg_mae.claims import folds_claim

            command = "turnsmith eeg proxy $TURNSMITH_DATA/eeg/eeglab/eeglab_data.set --record"
            record("eeg_mae", [folds_claim(result)], command)
        if options.json:
            print(json.dumps(asdict(result), indent=1))
            return 0
        print(f"R2 {result.r2:.3f} from {result.channels} channels that are not {', '.join(result.targets)}")
        print("  " + ", ".join(f"{fold} {value:.3f}" for fold, value in result.by_fold.items()))
        return 0

    kinds = recordings_in(options.folder)
    signals = [(run, read_recording(path)) for run, path in next(iter(kinds.values()))]
    result, posterior = leave_one_run_out(signals), leave_one_run_out(signals, posterior_only=True)
    if options.record:
        from turnsmith.evaluate.claims import record
        from turnsmith.recipes.eeg_mae.claims import proxy_claims

        command = "turnsmith eeg proxy $TURNSMITH_DATA/eeg/eegmmidb_s001 --record"
        record("eeg_mae", proxy_claims(result, posterior), command)
    if options.json:
        print(json.dumps({**asdict(result), "posterior": asdict(posterior)}, indent=1))
        return 0
    print(f"R2 {result.r2:.3f} from {result.channels} channels that are not {', '.join(result.targets)}")
    print("  " + ", ".join(f"{run} {value:.3f}" for run, value in result.by_fold.items()))
    print(f"R2 {posterior.r2:.3f} from {posterior.channels} central and posterior channels alone")
    return 0


def _transfer(options: argparse.Namespace) -> int:
    from turnsmith.eeg.transfer import TransferSettings, transfer_folder
    from turnsmith.runs.run import read_json, write_json

    if options.seeds < 1:
        raise UserError("--seeds is a count: 1 or more.")
    folder = Path(options.folder)
    recordings = {path.stem: path for path in sorted(folder.glob("*.edf"))}
    rows = []
    for seed in range(options.seeds):
        place = Path("runs") / "eeg_transfer" / f"seed-{seed}"
        if not (place / "result.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            write_json(place / "result.json", transfer_folder(recordings, TransferSettings(), seed, place))
        rows.append(read_json(place / "result.json"))
        shown = {key: value for key, value in rows[-1].items() if isinstance(value, float)}
        print(f"seed {seed}: " + ", ".join(f"{key} {value:.2f}" for key, value in shown.items()), flush=True)
    if options.record:
        from turnsmith.evaluate.claims import record
        from turnsmith.recipes.eeg_mae.claims import transfer_claims

        command = f"turnsmith eeg transfer $TURNSMITH_DATA/eeg/eegmmidb_s001 --seeds {options.seeds} --record"
        reports = [
            {"config": {"name": f"eeg_transfer/seed-{seed}", "seed": seed}, "stages": {"real": row}}
            for seed, row in enumerate(rows)
        ]
        record("eeg_mae", transfer_claims(reports), command)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from turnsmith.eeg.pictures import gaze_path
    from turnsmith.eeg.predict import predict_recording, write_csv

    if options.step <= 0:
        raise UserError("--step is in seconds, above 0.")
    estimates = predict_recording(
        options.model, options.recording, options.step, options.resample, options.scale, options.device
    )
    recording = Path(options.recording)
    out = Path(options.out) if options.out else recording.with_name(f"{recording.stem}_gaze.csv")
    write_csv(out, estimates)
    print(f"{len(estimates.values)} windows of {estimates.window_s:g} s: {out}")
    if estimates.outputs == ("x_px", "y_px"):
        print(f"picture: {gaze_path(out.with_suffix('.png'), estimates.start_s, estimates.values)}")
    return 0


def _name(options: argparse.Namespace, hilbert: bool = False) -> "FileName":
    from turnsmith.eeg.files import DATASETS, FileName

    dataset = options.dataset or DATASETS[options.task][0]
    if dataset not in DATASETS[options.task]:
        raise UserError(f"the {options.task} task is made from {' or '.join(DATASETS[options.task])}, not {dataset}.")
    return FileName(options.task, dataset, options.cleaning, hilbert)


def _simulate(options: argparse.Namespace) -> int:
    if options.participants < 1 or options.windows < 1:
        raise UserError("--participants and --windows are counts: 1 or more.")
    name, out = _name(options), Path(options.file)
    if out.suffix.lower() == ".edf":
        _simulate_edf(out, name.dataset, options.windows, options.seed)
        return 0
    from turnsmith.eeg.simulate import simulate_file

    dtype = "float32" if options.float32 else "float64"
    path = simulate_file(out, name, options.participants, options.windows, options.seed, dtype)
    print(f"{path} ({path.stat().st_size / 1e6:.0f} MB)")
    return 0


def _simulate_edf(out: Path, dataset: str, steps: int, seed: int) -> None:
    import numpy as np

    from turnsmith.eeg.anatomy import montage
    from turnsmith.eeg.edf import write_edf
    from turnsmith.eeg.files import SAMPLING_RATE
    from turnsmith.eeg.recordings import Signal
    from turnsmith.eeg.simulate import record

    places = montage()
    made = record(dataset, np.stack(list(places.values())), np.random.default_rng([seed, 1]), steps)
    write_edf(out, Signal(made.signal, SAMPLING_RATE, tuple(places)))
    truth = out.with_suffix(".csv")
    seconds = np.arange(0, len(made.signal), 50) / SAMPLING_RATE
    rows = np.column_stack([seconds, made.track.gaze_px[::50]])
    np.savetxt(truth, rows, "%.3f", ",", header="time_s,x_px,y_px", comments="")
    print(f"{out} ({len(made.signal) / SAMPLING_RATE:.0f} s, {len(places)} channels); true gaze: {truth}")


def _prepare(options: argparse.Namespace) -> int:
    from turnsmith.eeg.files import write
    from turnsmith.eeg.prepare import participants

    name = _name(options, options.hilbert)
    path = write(Path(options.out) / str(name), _told(participants(options.folder, name)))
    print(path)
    return 0


def _told(parts: "Iterable[tuple[np.ndarray, np.ndarray]]") -> "Iterator[tuple[np.ndarray, np.ndarray]]":
    """Say how many windows each recording gave, as it is done."""
    for eeg, labels in parts:
        who = int(labels[0, 0]) if len(labels) else 0
        print(f"participant {who}: {len(eeg)} windows" if who else "a recording without a window")
        yield eeg, labels
