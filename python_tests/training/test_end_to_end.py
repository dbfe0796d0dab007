# SPDX-License-Identifier: MIT
"""What it is all for: training on real images makes a network robust."""

from yopo_ext.training import make_config, run_job


def test_yopo_makes_a_robust_classifier_of_digits(tmp_path):
    config = make_config(
        m=4, epochs=8, lr=0.1, milestones=(6,), limit_eval=150, eval_steps=20, curve_every=99, curve_images=1, seed=0
    )
    summary = run_job(config, tmp_path / "run", compare_natural=True, resume=False, show=False)
    assert summary["natural"]["clean"] > 95
    assert summary["yopo"]["clean"] > 90
    assert summary["yopo"]["robust"] >= summary["natural"]["robust"] + 30
