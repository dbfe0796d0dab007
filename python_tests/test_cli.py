# SPDX-License-Identifier: MIT
"""The `yopo` command: mostly in this process, where signals or start-up matter in one of its own."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from yopo_ext.cli import build_parser
from yopo_ext.cli.argument_order import join_negative_numbers
from yopo_ext.cli.numbers import number
from yopo_ext.cli.settings import flag_of, given_settings
from yopo_ext.training import make_config
from yopo_ext.training.config.layout import KINDS, homes, source_homes

COMMAND = [sys.executable, "-m", "yopo_ext"]
QUICK = [
    "--epochs", "1", "-m", "1", "-n", "1", "--limit-train", "40", "--limit-eval", "20", "--eval-steps", "2",
    "--no-compare-natural",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), ("0.3", 0.3), ("1e-2", 0.01), ("-2/255", -2 / 255), ("0.5/255", 0.5 / 255)]
)
def test_numbers_and_fractions(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "much", "8/", "/255", "1/2/3", "1/0", "1e400/1"])
def test_what_is_no_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number or a fraction like 8/255"):
        number(text)


def test_options_reach_the_configuration(tmp_path, monkeypatch, command):
    calls = []
    monkeypatch.setattr("yopo_ext.training.run_job", lambda *args, **kwargs: calls.append((args, kwargs)))
    arguments = ["--preset", "cifar10-yopo-5-3", "--data-dir", "d", "--eps", "4/255", "-m", "2", "-n", "6"]
    arguments += ["--weight-decay", "1e-3", "--memory-format", "contiguous", "--out", str(tmp_path)]
    assert command("train", *arguments)[0] == 0
    (config, folder), options = calls[0]
    expected = {"eps": 4 / 255, "m": 2, "n": 6, "weight_decay": 1e-3, "memory_format": "contiguous", "data_dir": "d"}
    assert config == make_config("cifar10-yopo-5-3", **expected)
    assert folder == tmp_path
    assert options.pop("processes").count == 1
    assert options == {"compare_natural": False, "resume": False, "device": "cpu"}


@pytest.mark.parametrize(
    ("arguments", "natural"),
    [([], True), (["--no-compare-natural"], False), (["--dataset", "mnist", "--compare-natural"], True)],
)
def test_when_a_natural_run_is_made(monkeypatch, command, arguments, natural):
    calls = []
    monkeypatch.setattr("yopo_ext.training.run_job", lambda *args, **kwargs: calls.append((args, kwargs)))
    assert command("train", *arguments)[0] == 0
    assert calls[0][1]["compare_natural"] == natural
    config, folder = calls[0][0]
    assert folder.parts[0] == "runs"
    assert folder.name.startswith(f"{config.data.dataset}-yopo-")


# A word for the options that take words or have a range of their own; 2 is for the others.
WORDS = {
    "dataset": "mnist", "data_dir": "d", "model": "smallcnn", "activation": "tanh", "method": "trades", "norm": "l2",
    "bn_mode": "train", "reduction": "sum", "first_layer_grad": "both", "delay": "auto", "optimizer": "nesterov",
    "schedule": "cosine", "memory_format": "contiguous", "amp": "off", "device": "cuda", "label_smoothing": "0.25",
    "ewa_decay": "0.25", "eps": "2/255", "alpha": "-2/255", "eval_alpha": "1e-3", "mean": "0.5", "std": "0.5",
    "objective": "trades", "resize": "300", "broken_images": "skip", "least_crop": "0.5",
    "bn_statistics": "batch", "head": "random-centres", "form": "recursive", "centralize": "all",
    "smoothing_kind": "zipf", "start": "zero", "start_decay": "0.5", "consistency_outputs": "detached",
    "attack_in_kernel": "off", "on_overfitting": "restart",
}  # fmt: skip
#: What a setting needs beside it.
BESIDE = {
    "mean": {"std": (0.5,)}, "std": {"mean": (0.5,)}, "patience": {"held_out": 9}, "members": {"objective": "adp"},
    "curve_last_weights": {"ewa_decay": 0.5}, "ewa_bn_batches": {"ewa_decay": 0.5},
    "entropy_weight": {"members": 3}, "diversity_weight": {"members": 3},
    "smoothing_kind": {"label_smoothing": 0.5}, "consistency_outputs": {"method": "fast", "consistency": 1.0},
    "progressive_sizes": {"progressive_epochs": (1,)}, "progressive_epochs": {"progressive_sizes": (4,)},
    "start_decay": {"method": "fast"}, "consistency_ramp": {"method": "fast", "consistency": 1.0},
}  # fmt: skip
METHOD_OF = {
    "start": "fast",
    "cosine_every": "fast",
    "staleness_every": "yopo",
    "steps_warmup_epochs": "pgd",
    "beta": "trades",
}


@pytest.mark.parametrize("name", [*KINDS, *homes()])
def test_every_setting_is_an_option_that_reaches_it(name):
    found = homes().get(name, ())
    one = found[0].option if found else None
    word = WORDS.get(name, "2")
    words = [flag_of(name)] if one is not None and one.kind is bool else [flag_of(name), word]
    given = given_settings(build_parser().parse_args(join_negative_numbers(["train", *words])))
    assert list(given) == [name]
    if one is None:
        expected = word
    elif one.kind is bool:
        expected = True
    else:
        expected = word if word in one.words else {float: number, int: int, str: str}[one.kind](word)
    assert given[name] == ((expected,) if one is not None and one.several else expected)
    owners = {home.section: home.owner for home in found if home.section in KINDS}
    owners |= {"dataset": found[0].owner} if name in source_homes() else {}
    method = {"method": METHOD_OF[name]} if name in METHOD_OF else {}
    config = make_config(**{**owners, **method, **BESIDE.get(name, {}), **given})
    assert config[name] == given[name]


def test_every_switch_has_both_names():
    for name in (name for name, found in homes().items() if found[0].option.kind is bool):
        no = f"--no-{name.replace('_', '-')}"
        assert given_settings(build_parser().parse_args(["train", no])) == {name: False}


@pytest.mark.parametrize("text", ["-2/255", "-1e-3", "-0.5", "-.5e2", "-2", "8/255"])
@pytest.mark.parametrize("joined", [False, True])
def test_a_negative_number_is_no_option(text, joined):
    words = [f"--alpha={text}"] if joined else ["--alpha", text]
    options = build_parser().parse_args(join_negative_numbers(["train", *words, "--eps", "0.1"]))
    assert (options.alpha, options.eps) == (number(text), 0.1)


def test_a_defect_can_be_traced(monkeypatch, command):
    def broken(options):
        raise ValueError("of a defect")

    monkeypatch.setattr("yopo_ext.cli.info.run", broken)
    assert command("info") == (2, "", "yopo: of a defect\n")
    status, _, err = command("info", "--traceback")
    assert status == 2
    assert "in broken" in err
    assert err.endswith("yopo: of a defect\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes close otherwise elsewhere")
def test_output_that_is_cut_off_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "info"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--dataset", "imagenet"], "dataset: got 'imagenet', expected one of "),
        (["train", "--preset", "best"], "preset: got 'best', expected one of "),
        (["train", "--model", "vgg"], "model: got 'vgg', expected one of digits-cnn"),
        (["train", "--model", "smallcnn"], "takes 28x28 images, these are 8x8"),
        (["train", "--method", "fgsm"], "method: got 'fgsm', expected one of "),
        (["train", "--dataset", "mnist"], "--data-dir"),
        (["train", "--dataset", "cifar10", "--data-dir", "nowhere"], "nowhere: found no such folder"),
        (["train", "--dataset", "cifar10", "--data-dir", "."], "found no data_batch_1.bin or data_batch_1, expected"),
        (["train", "--eps", "much"], "argument --eps: 'much' is not a number or a fraction like 8/255"),
        (["train", "--eps", "8/0"], "'8/0' is not a number"),
        (["train", "--eps", "nan"], "eps: got nan, expected a finite number of at least 0"),
        (["train", "--eps", "-1"], "eps: got -1.0, expected a finite number of at least 0"),
        (["train", "--alpha", "inf"], "alpha: got inf, expected a finite number"),
        (["train", "-m", "0"], "m: got 0, expected a whole number of at least 1"),
        (
            ["train", "--eps", "8"],
            "eps: got 8 with norm linf, expected less than 1: images lie in [0, 1], so for grey levels write 8/255",
        ),
        (["train", "--method", "pgd-10", "-m", "3"], "m: method pgd has no such setting; it belongs to "),
        (["train", "--data-dir", "d"], "data_dir: got d, but dataset digits is read from no files"),
        (["train", "--delay", "20", "--epochs", "20"], "delay: got 20, expected an end before the 20 epochs do"),
        (["train", "--epochs", "1.5"], "invalid whole number value: '1.5'"),
        (["train", "--held-out", "9999"], "held_out: got 9999 of 1437 images"),
        (["train", "--device", "warp"], "device 'warp' cannot be used"),
        (["train", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (
            ["train", "--seed", "9" * 30],
            "999, expected a whole number of at least 0 and at most 9.22337e+18",
        ),
        (["train", "--resume", "nowhere"], "config.json: no such file"),
        (["train", "--resume", ".", "--eps", "0.1"], "config.json: no such file"),
        (["train", "--resume", ".", "--no-compare-natural"], "--resume takes its settings from the run"),
        (["train", "--surprise"], "unrecognized arguments: --surprise"),
        (["evaluate", "nowhere"], "nowhere: no such checkpoint"),
        (["evaluate", "."], "last.pt: no such checkpoint"),
        (["evaluate"], "checkpoint"),
        ([], "command"),
        (["fly"], "invalid choice: 'fly'"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_one_line_and_status_2(tmp_path, monkeypatch, command, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("yopo")
    assert err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())


def test_help_is_help(command):
    status, out, _ = command("train", "--help")
    assert status == 0
    assert "--first-layer-grad" in out
    assert build_parser().prog == "yopo"


def test_help_says_what_there_is_to_choose_and_what_leaving_it_out_means():
    (commands,) = (action.choices for action in build_parser()._actions if hasattr(action, "_name_parser_map"))
    texts = {action.dest: action.help for action in commands["train"]._actions}
    assert texts["reduction"] == "of the m passes' gradients: mean, sum (default: mean) (yopo)"
    assert texts["m"].count("(default: ") == 4  # the methods' own
    assert texts["eps"] == "radius; fractions like 8/255 are read (images in [0, 1]) (default: the data set's own)"
    assert texts["ewa_warmup"].endswith("(default: on)")
    assert "default" not in texts["cuda_graph"]
    for name, found in homes().items():
        words = [word for home in found for word in home.option.known]
        assert len(words) > 8 or all(word in texts[name] for word in words), name


def test_info(command):
    import torch

    import yopo_ext

    status, out, err = command("info")
    assert (status, err) == (0, "")
    assert f"yopo_ext {yopo_ext.__version__}, torch {torch.__version__}" in out
    assert "native module: " in out
    assert "backend torch: runs on cpu" in out
    assert "backend cpu: " in out


def test_train_then_evaluate(tmp_path, command):
    folder = tmp_path / "run"
    assert command("train", *QUICK, "--out", str(folder))[0] == 0
    status, _, err = command("train", *QUICK, "--out", str(folder))
    assert status == 2
    assert f"{folder} holds a run already" in err
    status, out, _ = command("evaluate", str(folder), "--steps", "2", "--eps", "8/255", "--limit", "7", "--json")
    assert status == 0
    report = json.loads(out)
    assert (report["images"], report["eps"], set(report["robust"])) == (7, 8 / 255, {"PGD-2, ce", "PGD-2, margin"})
    status, out, _ = command("evaluate", str(folder / "last.pt"), "--steps", "1", "--losses", "ce")
    assert status == 0
    assert out.splitlines()[-1].startswith("20 images, linf, eps 0.15")
    for wrong in (["--steps", "0"], ["--restarts", "0"], ["--losses", "kl"], ["--limit", "0"], ["--device", "warp"]):
        status, out, err = command("evaluate", str(folder), *wrong)
        assert (status, out, err.count("\n")) == (2, "", 1)
    (folder / "last.pt").write_bytes(b"not a checkpoint")
    for arguments in (["evaluate", str(folder)], ["train", "--resume", str(folder)]):
        status, _, err = command(*arguments)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{folder / 'last.pt'}: not readable as a checkpoint" in err


def test_a_diverging_run_has_status_1(tmp_path, command):
    status, _, err = command("train", *QUICK, "--lr", "1e30", "--epochs", "3", "--out", str(tmp_path))
    assert status == 1
    assert err.startswith("yopo: the ")
    assert "not finite in epoch" in err


def one_thread():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_python_m_is_the_command():
    done = subprocess.run([*COMMAND, "info"], capture_output=True, text=True, check=False, env=one_thread())
    assert (done.returncode, done.stderr) == (0, "")
    assert "backend torch: runs on cpu" in done.stdout
    done = subprocess.run([*COMMAND, "train", "-m", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "yopo train: argument -m: invalid whole number value: 'x'\n"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_sigterm_says_how_to_resume_and_resuming_finishes(tmp_path):
    folder = tmp_path / "run"
    arguments = [*QUICK, "--epochs", "6", "--limit-train", "320", "--batch-size", "16", "--out", str(folder)]
    process = subprocess.Popen(
        [*COMMAND, "train", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=one_thread()
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    assert f"interrupted by SIGTERM; go on with: yopo train --resume {folder}" in err
    assert "Traceback" not in err
    done = len((folder / "metrics.jsonl").read_text().splitlines())
    assert 1 <= done < 6
    assert not (folder / "summary.json").exists()
    resumed = subprocess.run(
        [*COMMAND, "train", "--resume", str(folder)], capture_output=True, text=True, check=False, env=one_thread()
    )
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "YOPO-1-1 epoch 1/6" not in resumed.stdout
    epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, 7))
    assert set(json.loads((folder / "summary.json").read_text())) == {"yopo", "eps", "seconds"}
