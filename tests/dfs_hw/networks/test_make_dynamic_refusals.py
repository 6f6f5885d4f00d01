"""What cannot be made dynamic and is named in one sentence, and what comes close and can."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import SMALL, Plain, PlainBlock
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.networks import Design, make_dynamic


class Odd(PlainBlock):
    """A block with one more part, between its layers."""

    part: Callable[[], nn.Module]

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.odd = type(self).part()

    def forward(self, x: Tensor) -> Tensor:
        out = self.odd(functional.relu(self.bn1(self.conv1(x))))
        return self.bn2(self.conv2(out)) + self.shortcut(x)


class Only(nn.Module):
    """A model of one block and a classifier."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU())
        self.block = block
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(self.stem(images)).mean((2, 3)))


def odd_block(part: Callable[[], nn.Module]) -> nn.Module:
    return type("Block", (Odd,), {"part": staticmethod(part)})(6, 6)


class Functional(nn.Module):
    """A layer of its own making."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class OwnWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.flatten(2).permute(2, 0, 1))[0].permute(1, 2, 0).view_as(x)


class OwnAttention(nn.Module):
    def __init__(self, shift: int = 0, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, **options)
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT
        keys = tokens.roll(self.shift, 1) if self.shift else tokens
        return self.attention(tokens, keys, keys)[0].mT.reshape(x.shape)


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Bilinear(12, 12, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x, x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.both(x.flatten(2).mT).chunk(2, 2)
        return ((query @ key.mT).softmax(-1) @ x.flatten(2).mT).mT.reshape(x.shape)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Concatenated(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.fc(x)], 1)[:, 3:9]


class Broadcast(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x.mean((2, 3), keepdim=True))


class OwnInput(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x)


class Twice(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fc(x))


class Written(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :3], y[:, 3:] = x[:, :3], self.fc(x)[:, 3:]
        return y


class InRows(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.reshape(-1, 6, 2, 2)).reshape(x.shape)


class ByKeyword(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(input=x)


def hooked() -> nn.Module:
    conv = nn.Conv2d(6, 6, 1)
    conv.register_forward_hook(lambda *_: None)
    return conv


ODD_PARTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "static batch norm": (
        lambda: nn.BatchNorm2d(6, track_running_stats=False),
        r"block\.odd: it is a batch norm without a moving average",
    ),
    "batch norm of rows": (
        lambda: nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(6), nn.Unflatten(2, (12, 12))),
        r"block\.odd\.1: BatchNorm1d normalises over the batch otherwise than BatchNorm2d does",
    ),
    "cumulative batch norm": (
        lambda: nn.BatchNorm2d(6, momentum=None),
        r"block\.odd: it is a batch norm without a moving average",
    ),
    "transposed": (lambda: nn.ConvTranspose2d(6, 6, 1), r"block\.odd: ConvTranspose2d has"),
    "Conv1d": (
        lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(6, 6, 1), nn.Unflatten(2, (12, 12))),
        r"block\.odd\.1: Conv1d has",
    ),
    "recurrent": (Recurrent, r"block\.odd\.cell: LSTM has"),
    "own weight": (OwnWeight, r"block\.odd: OwnWeight has .*\(kernel\)"),
    "attention of several tensors": (
        lambda: OwnAttention(shift=1),
        r"MultiheadAttention of several tensors cannot be taken apart",
    ),
    "attention of other widths": (
        lambda: OwnAttention(kdim=6, vdim=6, add_zero_attn=True),
        r"block\.odd\.attention: MultiheadAttention has weights of its own \(in_proj_weight",
    ),
    "bilinear": (Bilinear, r"block\.odd\.both: Bilinear has weights of its own"),
    "own kernel": (
        lambda: Functional(lambda x: functional.conv2d(x, torch.ones(6, 6, 1, 1))),
        r"block\.odd: 'convolution' multiplies outside",
    ),
    "drop path in evaluation": (
        lambda: Functional(lambda x: x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.5))),
        r"Only: it lets images of a batch influence each other, or draws random numbers",
    ),
    "twice": (Twice, r"block\.odd\.fc: it runs more than once"),
    "rows": (InRows, r"block\.odd\.fc: it reads 144 rows for 4 images"),
    "keyword": (ByKeyword, r"block\.odd\.fc: it is not called with one tensor"),
    "hooks": (hooked, r"block\.odd: it has hooks"),
    "subclass": (
        lambda: type("Scaled", (nn.Conv2d,), {"forward": lambda own, x: 2 * x})(6, 6, 1),
        r"block\.odd: Scaled has weights of its own",
    ),
}


@pytest.mark.parametrize("kind", ODD_PARTS)
def test_what_cannot_be_converted_or_priced_is_named(kind: str) -> None:
    part, message = ODD_PARTS[kind]
    with pytest.raises(InputError, match=message):
        make_dynamic(Only(odd_block(part)), "skip,8", image=SMALL, blocks="block")


LEFT_ALONE: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "hard swish": nn.Hardswish,
    "dropout": nn.Dropout,
    "pool": lambda: nn.AvgPool2d(3, 1, 1),
    "GroupNorm": lambda: nn.GroupNorm(2, 6),
    "InstanceNorm": lambda: nn.InstanceNorm2d(6),
    "LayerNorm": lambda: nn.LayerNorm(12),
    "functional norm": lambda: Functional(lambda x: functional.layer_norm(x, [12])),
    "PReLU": nn.PReLU,
    "attention": Attention,
    "attention of its own weights": OwnAttention,
    "squeeze": Squeeze,
    "concatenation": Concatenated,
    "writing": Written,
    "broadcast": Broadcast,
    "own input": OwnInput,
}


@pytest.mark.parametrize("kind", LEFT_ALONE)
@torch.no_grad()
def test_whatever_else_happens_in_a_block_is_left_alone(kind: str) -> None:
    torch.manual_seed(1)
    model = Only(odd_block(LEFT_ALONE[kind])).eval()
    made = make_dynamic(model, "skip,8,full", image=SMALL, blocks="block")
    assert type(made.blocks[0].block.odd) is type(model.block.odd)
    x = torch.randn(3, *SMALL)
    logits = made.eval()(x, made.uniform("full")).logits
    assert torch.allclose(logits, model(x), rtol=1e-5, atol=1e-6)


class Centred(Plain):
    """Looks at the other images of a batch."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


class Diverged(Plain):
    """Computes what is not finite."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.nan


def test_what_diverged_is_not_taken_for_images_that_influence_each_other() -> None:
    assert make_dynamic(Diverged(), image=SMALL, blocks=PlainBlock).units


def test_images_of_a_batch_must_not_influence_each_other() -> None:
    with pytest.raises(InputError, match="Centred: it lets images of a batch influence each other"):
        make_dynamic(Centred(), image=SMALL, blocks=PlainBlock)


def test_everything_is_named_at_once() -> None:
    transposed = lambda: nn.ConvTranspose2d(6, 6, 1)  # noqa: E731
    model = nn.Sequential(Only(odd_block(transposed)), nn.Dropout(), nn.BatchNorm1d(5))
    model[0].block.extra = nn.Conv2d(1, 1, 1)
    with pytest.raises(InputError) as caught:
        make_dynamic(model, "skip,8", image=SMALL, blocks="0.block")
    model[0].block.norm = nn.BatchNorm1d(5)
    with pytest.raises(InputError, match=r"0\.block\.norm, 2: BatchNorm1d nor"):
        make_dynamic(model, "skip,8", image=SMALL, blocks="0.block")
    for named in ("0.block.odd: ConvTr", "0.block.extra: it never ran", "2: BatchNorm1d"):
        assert named in str(caught.value)
    assert "Dropout" not in str(caught.value)


def test_shared_weights_are_refused() -> None:
    model = Plain()
    model.second.conv1.weight = model.first.conv1.weight
    with pytest.raises(InputError, match=r"second\.conv1: it shares its weights with 'first\.conv"):
        make_dynamic(model, image=SMALL, blocks=PlainBlock)


class TwoInputs(PlainBlock):
    def forward(self, x: Tensor, scale: float | Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) * scale


class Tupled(PlainBlock):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:  # type: ignore[override]
        return super().forward(x), 1


class InPlace(PlainBlock):
    def forward(self, x: Tensor) -> Tensor:
        x += self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return x


class Caller(Only):
    """Calls its block as each kind of block wants it."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        if isinstance(self.block, TwoInputs):
            x = self.block(x, 2.0)
        elif isinstance(self.block, Tupled):
            x, _ = self.block(x)
        else:
            x = self.block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (TwoInputs, "block: it does not map one tensor to another"),
        (Tupled, "block: it does not map one tensor to another"),
        (InPlace, "block: it changes its input in place"),
    ],
)
def test_blocks_must_map_one_tensor_to_another(block: type[nn.Module], message: str) -> None:
    for blocks in ("block", block):
        with pytest.raises(InputError, match=message):
            make_dynamic(
                Caller(block(6, 6)), image=SMALL, blocks=blocks, design=Design(first_block=True)
            )


class Hidden(Only):
    """Keeps its block in a list, out of sight."""

    def __init__(self) -> None:
        super().__init__(PlainBlock(6, 6))
        self.chain = [self.stem, self.block]

    def forward(self, images: Tensor) -> Tensor:
        for part in self.chain:
            images = part(images)
        return self.head(images.mean((2, 3)))


class Asking(Only):
    """Asks a layer for what only that layer has."""

    def __init__(self) -> None:
        super().__init__(PlainBlock(6, 6))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + self.stem[0].output_padding[0])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Hidden, "'block' was replaced by: is it kept in a plain list"),
        (Asking, "no attribute 'output_padding' .no layer's own attributes may be used"),
    ],
)
def test_models_that_would_not_run_their_new_layers_are_refused(
    model: type[nn.Module], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_dynamic(model(), "skip,8", image=SMALL, blocks="block")


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (Plain, {}, "Plain has no blocks to gate of the class BasicBlock, Bottleneck"),
        (Plain, {"blocks": nn.GRU}, "no blocks to gate of the class GRU"),
        (Plain, {"blocks": []}, "no blocks to gate: name them"),
        (Plain, {"blocks": ["fifth"]}, "runs no block 'fifth': choose from stem, first, second"),
        (Plain, {"blocks": ["first.conv1"]}, r"runs no block 'first\.conv1'"),
        (Plain, {"blocks": ["third", "third.shortcut"]}, "it is inside 'third'"),
        (Plain, {"blocks": PlainBlock, "image": (1, 12, 12)}, r"images of \[1, 12.* with image="),
        (Plain, {"blocks": [PlainBlock(6, 6)]}, "path or pattern, and PlainBlock is none"),
        (lambda: Plain, {}, "a model is a torch.nn.Module, not <class"),
        (Plain, {"blocks": PlainBlock, "choices": "skip"}, "leaves nothing to run"),
        (lambda: Only(PlainBlock(6, 6)), {"blocks": PlainBlock}, "'block' is the only block"),
        (lambda: Only(PlainBlock(6, 6)).stem, {"blocks": "0"}, "must return logits"),
        (lambda: Functional(lambda x: x.mean((2, 3))), {}, "no blocks to gate"),
    ],
)
def test_unusable_requests_say_what_would_be_right(
    build: Callable[[], nn.Module], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_dynamic(build(), **{"image": SMALL, **options})
