# SPDX-License-Identifier: MIT
"""YOPO under DistributedDataParallel, on handwritten digits, each process with its own images:

torchrun --nproc-per-node 2 examples/ddp.py
"""

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import yopo_ext
from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.models import DigitsCNN
from yopo_ext.training import Processes, started_processes

EPOCHS = 2


def main(processes: Processes, device: str) -> None:
    digits = load_dataset("digits").to(device)
    images = TensorDataset(to_float(digits.train.images), digits.train.labels)
    sampler: DistributedSampler[tuple[torch.Tensor, ...]] = DistributedSampler(images, seed=0)
    loader = DataLoader(images, batch_size=64 // processes.count, sampler=sampler)

    torch.manual_seed(processes.rank)  # each process's random starts are its own; DDP copies the first one's weights
    net = DigitsCNN().to(device)
    ddp = DistributedDataParallel(net)
    yopo = yopo_ext.YOPO(ddp, net.first_layer, m=3, n=3, eps=0.1, alpha=0.03)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            with ddp.no_sync():  # m passes, and after each of them the first layer's own gradient
                yopo.accumulate(x, y)
            yopo_ext.average_gradients(ddp, images=len(x))  # once a weight step
            optimizer.step()

    report = measure(net, digits.test, [PGDAttack(0.1, steps=5)], processes=processes)  # each image on one process
    if processes.is_first:
        print(report.to_table())


if __name__ == "__main__":
    with started_processes("cuda" if torch.cuda.is_available() else "cpu") as started:  # and the process group
        main(*started)
