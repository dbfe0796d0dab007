# SPDX-License-Identifier: MIT
"""The trainer on anybody's model, adversary, mini-batches and events, with a folder and without."""

import pytest
import torch
from same_runs import assert_equal, everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from yopo_ext.data import Batch, DeviceLoader, ImageSet
from yopo_ext.data.batch import Placement
from yopo_ext.stopwatch import NoStopwatch
from yopo_ext.training import CheckpointError, Event, Interrupted, Trainer, load_checkpoint


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.2), nn.Linear(8, 3))


def pairs(batches=3, size=4):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((batches, size, 1, 4, 4), generator=generator)
    return [(one, (one.sum((1, 2, 3)) > 8).long()) for one in x]


class Shifting:
    """Trains on images moved by what it remembers; keeps what it was given."""

    replays = 1

    def __init__(self, model):
        self.model, self.shift, self.given = model, 0.0, []
        self.stopwatch = NoStopwatch()

    def accumulate(self, x, y):
        self.given.append((x, y))
        self.shift = 0.5 * self.shift + 0.01
        loss = nn.functional.cross_entropy(self.model(x + self.shift), y)
        loss.backward()
        return {"loss": loss.detach(), "count": torch.tensor(float(len(x)))}

    def state_dict(self):
        return {"shift": self.shift}

    def load_state_dict(self, state):
        self.shift = state["shift"]


class Seeing(Shifting):
    """Is shown each mini-batch before."""

    def __init__(self, model):
        super().__init__(model)
        self.seen = []

    def see(self, batch):
        self.seen.append(batch)


class Remembering(list):
    """Mini-batches that know where they stand."""

    position = 0

    def __iter__(self):
        while self.position < len(self):
            self.position += 1
            yield self[self.position - 1]
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def trainer(batches, *, adversary=Shifting, epochs=3, lr=0.05, **options):
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    return Trainer(network, adversary(network), batches, optimizer, epochs=epochs, **options)


def test_a_list_of_pairs_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = trainer(pairs(), epochs=20)
    one.fit()
    assert [record["epoch"] for record in one.log] == list(range(1, 21))
    costs = {"seconds", "units", "units_total"}
    assert set(one.log[0]) == {"loss", "inner_share", "epoch", "lr", *costs}  # no predictions, nothing was measured
    assert one.log[-1]["loss"] < 0.7 * one.log[0]["loss"]
    assert (one.folder, one.is_done, one.measured_model) == (None, True, one.model)
    assert len(one.adversary.given) == 60
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"^folder: got None, expected the one that holds the run to go on with"):
        one.resume()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_data_loader_of_8_bit_or_float_images(dtype):
    x = torch.randint(0, 256, (10, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = x if dtype == torch.uint8 else x / 255
    one = trainer(DataLoader(TensorDataset(images, torch.arange(10) % 3), batch_size=4), epochs=1)
    one.fit()
    given = torch.cat([x for x, _ in one.adversary.given])
    assert given.dtype == torch.float32
    assert torch.equal(given, x.float() / 255)
    assert [len(y) for _, y in one.adversary.given] == [4, 4, 2]
    assert torch.equal(torch.cat([y for _, y in one.adversary.given]), torch.arange(10) % 3)


def test_a_mean_over_batches_of_different_sizes():
    batches = [*pairs(1, 6), *pairs(1, 2)]
    one = trainer(batches, epochs=1, lr=0.0)
    one.model[2].p = 0.0
    one.fit()
    shifted = zip(batches, (0.01, 0.015), strict=True)
    losses = [nn.functional.cross_entropy(one.model(x + shift), y) for (x, y), shift in shifted]
    assert one.log[0]["loss"] == pytest.approx((6 * losses[0].item() + 2 * losses[1].item()) / 8)


def test_weight_steps_of_several_batches_want_as_many_as_were_said():
    class Fewer(list):
        def __len__(self):
            return 4

    with pytest.raises(ValueError, match=r"^batches: got 3 of the 4 mini-batches that its length says"):
        trainer(Fewer(pairs(3)), epochs=1, accumulate=2).fit()
    trainer(Fewer(pairs(3)), epochs=1).fit()


def test_an_adversary_may_see_where_a_batch_comes_from():
    placement = Placement(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), torch.zeros(4).bool())
    (x, y), plain = pairs(1)[0], pairs(1)[0]
    one = trainer([Batch(x, y, torch.arange(4), placement), plain], adversary=Seeing, epochs=1)
    one.fit()
    first, second = one.adversary.seen
    assert torch.equal(first.index, torch.arange(4))
    assert first.placement is placement
    assert (second.index, second.placement, second.rows) == (None, None, None)


def test_a_rate_for_each_group_or_one_for_all():
    seen = []

    class Look(Event):
        def on_weights(self, trainer):
            seen.append([group["lr"] for group in trainer.optimizer.param_groups])

    def fit(schedule):
        network = model()
        groups = [{"params": network[1].parameters()}, {"params": network[3].parameters()}]
        optimizer = torch.optim.SGD(groups, lr=0.1)
        seen.clear()
        one = Trainer(network, Shifting(network), pairs(1), optimizer, epochs=2, schedule=schedule, events=[Look()])
        one.fit()
        return [list(rates) for rates in seen]

    assert fit(lambda epochs: 0.01 * epochs) == [pytest.approx([0.005] * 2), pytest.approx([0.015] * 2)]
    assert fit([lambda epochs: 0.01 * epochs, None]) == [pytest.approx([0.005, 0.1]), pytest.approx([0.015, 0.1])]
    with pytest.raises(ValueError, match=r"^schedule: got 1 rates, expected 2, one a parameter group"):
        fit([None])


class Told(Event):
    """Writes down each moment."""

    def __init__(self, moments, name="told", order=50):
        self.moments, self.name, self.order = moments, name, order

    def files(self, trainer, record):
        self.moments.append("files")
        return ()


def _moment(name):
    return lambda self, trainer, *rest: self.moments.append(name if self.name == "told" else f"{self.name} {name}")


for _name in ("start", "batches_start", "batch", "weights", "step", "look", "batches_end", "epoch", "measure", "saved",
              "end"):  # fmt: skip
    setattr(Told, f"on_{_name}", _moment(f"on_{_name}"))


class Measuring(Event):
    name, order = "measuring", 10

    def on_epoch(self, trainer, record):
        trainer.measured(record)


def test_an_events_moments_in_order():
    assert {name for name in vars(Event) if name.startswith("on_")} <= set(vars(Told)), "a moment is not tested"
    moments = []
    trainer(pairs(2), epochs=2, events=[Told(moments), Measuring()], log_every=2).fit()
    batch = ["on_batch", "on_weights"]
    steps = [*batch, "on_step", *batch, "on_look", "on_step"]
    # Measuring comes before it, at the same moment.
    epoch = ["on_batches_start", *steps, "on_batches_end", "on_measure", "on_epoch", "files", "on_saved"]
    assert moments == ["on_start", *epoch, *epoch, "on_end"]


def test_events_come_in_their_order_whatever_order_they_are_given_in():
    moments = []
    events = [Told(moments, "last", 60), Told(moments, "first", 40)]
    trainer(pairs(1), epochs=1, events=events).fit()
    assert [one for one in moments if "on_end" in one] == ["first on_end", "last on_end"]


def test_two_events_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"^events: got told, told, expected different names$"):
        trainer(pairs(), events=[Told([]), Told([])])


def test_what_cannot_be_iterated_every_epoch_is_refused(tmp_path):
    for batches, kind in ((iter(pairs()), "list_iterator"), ((one for one in pairs()), "generator"), (None, "None")):
        with pytest.raises(TypeError, match=rf"^batches: got a {kind}.*, expected what has a length and"):
            trainer(batches, folder=tmp_path / "run")
    with pytest.raises(ValueError, match=r"^batches: got an empty list, expected at least one mini-batch"):
        trainer([], folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match=r"^batches: yielded a tuple of 3, expected \(x, y\) with images x, or a Batch"):
        trainer([(torch.zeros(1), 1, 2)]).fit()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"^amp: got 'fp8', expected one of auto, bf16, fp16, off"):
        trainer(pairs(), amp="fp8")


class StopIn(Event):
    """Asks for a stop in the step of that number, over all epochs."""

    name = "stop"

    def __init__(self, step):
        self.left = step

    def on_step(self, trainer, metrics):
        self.left -= 1
        if self.left == 0:
            trainer.stop.signal_number = 15


@pytest.mark.parametrize(("batches", "made"), [(list, 3), (Remembering, 5)], ids=["epoch's start", "inside it"])
def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path, batches, made):
    """Stopped in the second of the second epoch's three steps."""

    def one(folder, *events):
        return trainer(batches(pairs()), folder=tmp_path / folder, events=events)

    whole, stopped = one("whole", StopIn(0)), one("parts", StopIn(5))
    whole.fit()
    with pytest.raises(Interrupted):
        stopped.fit()
    assert load_checkpoint(tmp_path / "parts")["progress"]["position"] == made - 3
    resumed = one("parts", StopIn(0))
    resumed.resume()
    assert (resumed.epoch, resumed.position) == (1, made - 3)
    torch.rand(5)
    resumed.fit()
    assert len(resumed.adversary.given) == 9 - made
    assert resumed.adversary.shift == whole.adversary.shift

    def state(trainer):
        trainer.batches = Remembering(trainer.batches) if batches is list else trainer.batches
        return everything(trainer)

    assert_equal(state(resumed), state(whole))


def test_a_note_outlives_an_interrupted_measurement():
    class Measured(Event):
        times = 0

        def on_epoch(self, trainer, record):
            self.times += 1
            if self.times == 1:
                raise Interrupted(15)

    one = trainer(pairs(), epochs=2, events=[Measured()])
    one.note = "resumed on another machine"
    with pytest.raises(Interrupted):
        one.fit()
    one.fit()
    assert [record.get("resumed") for record in one.log] == ["resumed on another machine", None]


def test_going_on_in_the_same_trainer():
    """Batches that do not know where they stand begin the epoch again, and so do its sums."""
    one = trainer(pairs(), events=[StopIn(5)])
    with pytest.raises(Interrupted):
        one.fit()
    one.fit()
    assert len(one.adversary.given) == 5 + 6
    assert [record["epoch"] for record in one.log] == [1, 2, 3]


def test_a_checkpoint_without_a_configuration_is_for_its_own_trainer(tmp_path):
    trainer(pairs(), folder=tmp_path, about={"mine": 1}).fit()
    assert load_checkpoint(tmp_path)["config"] == {"mine": 1}
    with pytest.raises(FileExistsError, match="holds a run already"):
        trainer(pairs(), folder=tmp_path).fit()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        trainer(pairs(), folder=tmp_path / "other").resume()


def test_our_loader_with_somebodys_model():
    images = ImageSet((torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8),
                      torch.arange(9) % 3, 3)  # fmt: skip
    one = trainer(DeviceLoader(images, 4, augment=True), adversary=Seeing, epochs=2)
    one.fit()
    assert sorted(torch.cat([batch.index for batch in one.adversary.seen[:3]]).tolist()) == list(range(9))
    assert all(batch.placement is not None for batch in one.adversary.seen)
