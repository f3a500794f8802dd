"""The reference that the training engine is compared with: Table III's networks and recipe in textbook PyTorch."""

import torch
from torch import Tensor, nn

from pairnet.data.pairs import Pairs, moments, normalise


def tower(channels: int, *, norm: bool, dropout: float = 0.0) -> nn.Sequential:
    """[N,channels,14,14] -> [N,128]."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers += [nn.BatchNorm2d(outputs)] if norm else []
        layers += [nn.MaxPool2d(2)]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Flatten())


class PlainJoint(nn.Module):
    """cnn_base: both digits are channels of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = tower(2, norm=True)
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """pair [N,2,14,14] -> main [N]; no digit scores."""
        main: Tensor = self.head(self.tower(pair))
        return main.squeeze(1), None, None


class PlainTwin(nn.Module):
    """One tower per digit, or a shared one that is called twice, so that BN sees one image of each pair at a time.

    pairnet's BN sees both images at once: w_net trains a little differently there.
    """

    def __init__(self, *, shared: bool, auxiliary: bool, norm: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = tower(1, norm=norm, dropout=dropout)
        self.second = self.first if shared else tower(1, norm=norm, dropout=dropout)
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
        self.auxiliary: nn.Module | None = None
        if auxiliary:
            self.auxiliary = nn.Sequential(
                *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            )

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """pair [N,2,14,14] -> main [N], digit scores of the first and of the second image [N,10], or None."""
        first, second = self.first(pair[:, :1]), self.second(pair[:, 1:])
        main: Tensor = self.head(torch.cat((first, second), dim=1))
        if self.auxiliary is None:
            return main.squeeze(1), None, None
        return main.squeeze(1), self.auxiliary(first), self.auxiliary(second)


def plain_network(name: str) -> PlainJoint | PlainTwin:
    """The network of a row of Table III."""
    match name:
        case "cnn_base":
            return PlainJoint()
        case "no_w_net":
            return PlainTwin(shared=False, auxiliary=False, norm=True)
        case "w_net":
            return PlainTwin(shared=True, auxiliary=False, norm=True)
        case "a_net":
            return PlainTwin(shared=False, auxiliary=True, norm=True)
        case "a_w_net":
            return PlainTwin(shared=True, auxiliary=True, norm=False)
        case "final_model":
            return PlainTwin(shared=True, auxiliary=True, norm=False, dropout=0.4)
    raise ValueError(f'expected a row of Table III, got "{name}"')


def plain_loop(
    name: str, pairs: Pairs, test: Pairs, *, seed: int, epochs: int = 25, batch: int = 25, device: str = "cpu"
) -> float:
    """Trains with the paper's recipe in a plain loop, on torch's number of threads; returns the test accuracy."""
    torch.manual_seed(seed)
    found = moments(pairs)
    pair, target, digits = (torch.from_numpy(part).to(device) for part in normalise(pairs, found))
    net = plain_network(name).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    main_loss, digit_loss = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(pairs)).to(device).split(batch):  # type: ignore[no-untyped-call]
            main, first, second = net(pair[rows])
            loss = main_loss(main, target[rows])
            if first is not None:
                loss = 0.5 * loss + digit_loss(first, digits[rows, 0]) + digit_loss(second, digits[rows, 1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    net.eval()
    with torch.no_grad():
        pair, target, _ = (torch.from_numpy(part).to(device) for part in normalise(test, found))
        return float(((net(pair)[0] > 0) == (target > 0)).float().mean())
