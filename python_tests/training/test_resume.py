# SPDX-License-Identifier: MIT


import pytest
import torch
from same_runs import assert_equal, everything

from yopo_ext.data import Dataset
from yopo_ext.training import CheckpointError, Interrupted, Run, StopRequest, change_config


# Four batches an epoch: the loop looks for a stop after the first three, then at the epoch's end.
@pytest.mark.parametrize("checks", [1, 4, 6, 8], ids=["first step", "epoch's end", "mid-epoch", "second epoch's end"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"augment": True, "method": "pgd-2"},
        {"method": "natural"},
        {"first_layer_grad": "both", "reduction": "sum", "first_layer_milestones": (1,)},
    ],
    ids=["yopo", "pgd, augmented", "natural", "both"],
)
def test_a_resumed_run_equals_one_that_was_not_interrupted(runs, change, checks):
    config = change_config(runs.config, **change)
    expected = everything(runs.finished("whole", config))
    stopped = runs.interrupted("parts", config, checks)
    assert stopped.epoch * 4 + stopped.position == checks
    torch.manual_seed(12345)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed), expected)


class Counted:
    """A trainer's step that counts."""

    def __init__(self, step, seen):
        self.step, self.seen = step, seen

    def __call__(self, batch):
        self.seen.append(1)
        return self.step(batch)

    def __getattr__(self, name):
        return getattr(self.step, name)


def stop_in_pass(trainer, stop, count):
    """Asks for the stop within that forward pass of measuring."""
    seen = []

    def look(model, *_):
        seen.append(model.training)
        if seen.count(False) == count:
            stop.signal_number = 15

    trainer.measured_model.register_forward_hook(look)
    return seen


@pytest.mark.parametrize("changes", [{}, {"held_out": 16, "ewa_decay": 0.9, "delay": 1}], ids=["yopo", "held out"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_stop_while_measuring_loses_nothing(runs, changes, count):
    config = change_config(runs.config, **changes)
    expected = everything(runs.finished("whole", config))
    stopped, stop = runs.trainer("parts", config), StopRequest()
    seen = stop_in_pass(stopped, stop, count)
    with pytest.raises(Interrupted, match="SIGTERM"):
        stopped.fit(stop)
    assert seen.count(False) == count  # at the next pass
    epochs = 1 + len(stopped.log)
    assert (stopped.epoch, stopped.position, stopped.is_done) == (epochs, 0, False)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    steps = []
    step = resumed.step
    resumed.step = Counted(step, steps)
    resumed.fit()
    assert len(steps) == 4 * (3 - epochs)  # no step is made twice
    assert_equal(everything(resumed), expected)


@pytest.mark.parametrize("checks", [2, 4])
def test_dropout_and_several_interruptions(runs, checks):
    config = change_config(runs.config, model="smallcnn", epochs=2, momentum=0.95, limit_train=24, batch_size=6)
    whole = runs.finished("whole", config)
    expected = everything(whole)
    assert whole.optimizer.state_dict()["state"][0]["momentum_buffer"].any()
    runs.interrupted("parts", config, checks)
    torch.rand(7)
    again = runs.trainer("parts", config)
    again.resume()
    stop = runs.stop_after(2)
    with pytest.raises(Exception, match="interrupted by SIGTERM"):
        again.fit(stop)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed), expected)


def test_the_seed_decides_the_run(runs):
    first = everything(runs.finished("a"))
    assert_equal(everything(runs.finished("b")), first)
    other = everything(runs.finished("c", change_config(runs.config, seed=1)))
    assert not torch.equal(other["model"]["features.conv1.weight"], first["model"]["features.conv1.weight"])


def test_an_epoch_of_one_batch_can_be_interrupted(runs):
    stopped = runs.interrupted("run", change_config(runs.config, batch_size=99), 1)
    assert (stopped.epoch, len(stopped.log)) == (1, 1)


def test_time_already_spent_counts(runs):
    stopped = runs.interrupted("run", runs.config, 5)
    assert stopped.seconds > 0
    resumed = runs.trainer("run")
    resumed.resume()
    assert resumed.seconds == stopped.seconds
    assert resumed.sums.state_dict()["sums"][2] == 16
    resumed.fit()
    assert resumed.log[-1]["seconds"] > stopped.seconds


def test_other_settings_are_listed(runs):
    runs.interrupted("run", runs.config, 1)
    other = runs.run("run", eps=0.3, method="pgd")
    before = [parameter.clone() for parameter in other.trainer.model.parameters()]
    with pytest.raises(CheckpointError) as caught:
        other.resume()
    message = str(caught.value)
    assert str(other.folder / "last.pt") in message
    assert "method: 'pgd' here, 'yopo' there; eps: 0.3 here, 0.1 there" in message
    assert "lr" not in message
    assert all(map(torch.equal, before, other.trainer.model.parameters()))


def test_where_the_data_lie_may_change(runs):
    runs.interrupted("run", runs.config, 1)
    elsewhere = runs.run("run", data_dir="/elsewhere")
    elsewhere.resume()
    assert elsewhere.trainer.position == 1


def test_another_number_of_images_is_refused(runs):
    runs.interrupted("run", runs.config, 1)
    data = runs.data(runs.config)
    other = Run(runs.config, runs.root / "run", Dataset("digits", data.train.take(50), data.test), show=False)
    with pytest.raises(ValueError, match=r"50 images in batches of 16: it was 56 images"):
        other.resume()


def test_nothing_to_resume(runs):
    with pytest.raises(CheckpointError, match=r"last.pt: no such checkpoint"):
        runs.trainer().resume()


def test_a_run_can_go_on_for_longer(runs):
    """As the longer one from the start, where the rates so far do not depend on the length."""
    expected = everything(runs.finished("whole", change_config(runs.config, epochs=5)))
    runs.finished("parts")
    longer = runs.run("parts", epochs=5)
    longer.resume()
    longer.fit()
    assert_equal(everything(longer.trainer), expected)
