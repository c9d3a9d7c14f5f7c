"""Networks of the classification task: sizes as published, shapes, and what images become before they are trained on."""

import pytest

from fitness.classification.networks.registry import NETWORKS, networks_for
from fitness.classification.options import Options
from fitness.classification.task import make
from sandbox import known

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from fitness.classification.images import PADDING, Normalised, augmented  # noqa: E402
from fitness.classification.networks.aggregation import Tree  # noqa: E402


def size(network) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "name, parameters",
    [
        # As commonly reported for 10 classes and images of 32 x 32.
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("simple_dla", 15_142_970),
        # 5,288,548 as reported for 1,000 classes, whose last layer has 1,281,000; here it has 12,810.
        ("efficientnet_b0", 5_288_548 - 1_281_000 + 12_810),
    ],
)
def test_a_network_has_as_many_parameters_as_is_reported(name, parameters):
    assert size(NETWORKS[name].untrained(128)) == parameters


@pytest.mark.parametrize("name", networks_for("cifar10"))
def test_every_parameter_of_an_image_network_is_trained(name):
    torch.manual_seed(0)
    network = NETWORKS[name].untrained(128).train()
    logits = network(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 10)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_a_tree_gives_the_root_both_halves_and_the_right_half_the_left_ones_output():
    torch.manual_seed(0)
    tree, x = Tree(4, 8, depth=2, stride=2).eval(), torch.randn(2, 4, 8, 8)
    left = tree.left(x)
    assert torch.equal(tree(x), tree.root(torch.cat((left, tree.right(left)), dim=1)))
    assert tree(x).shape == (2, 8, 4, 4)
    assert isinstance(tree.left, Tree) and isinstance(tree.right, Tree)


@pytest.mark.parametrize("name", networks_for("digits"))
def test_every_network_learns_the_digits(name):
    task = make(Options(held_out_network=name, learning_rate=0.01, epochs=8, label_noise=0.0))
    result = task.score_seed(known.graph("cross_entropy"), "held_out", 0)
    assert result.fitness > 0.85


def test_the_networks_of_the_two_rungs_are_those_of_the_options():
    task = make(Options(network="linear", held_out_network="linear", epochs=1))
    task.prepare()
    built = [task._runner._network(task.rungs[rung]) for rung in ("full", "held_out")]
    assert [size(network) for network in built] == [650, 650]
    task = make(Options(epochs=1))
    task.prepare()
    assert [size(task._runner._network(task.rungs[rung])) for rung in ("full", "held_out")] == [9_610, 26_122]


# ---- images ----------------------------------------------------------------------------------------------------------


def test_an_augmented_image_is_a_window_of_the_padded_one_or_its_mirror_image():
    images = torch.randint(1, 256, (40, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = augmented(images, torch.Generator().manual_seed(1))
    assert made.shape == images.shape and made.dtype == torch.uint8
    mirrored, places = 0, set()
    for before, after in zip(images, made, strict=True):
        padded = torch.zeros(3, 6 + 2 * PADDING, 5 + 2 * PADDING, dtype=torch.uint8)
        padded[:, PADDING:-PADDING, PADDING:-PADDING] = before
        windows = {
            (top, left): padded[:, top : top + 6, left : left + 5]
            for top in range(2 * PADDING + 1)
            for left in range(2 * PADDING + 1)
        }
        plain = [place for place, window in windows.items() if torch.equal(window, after)]
        turned = [place for place, window in windows.items() if torch.equal(window.flip(2), after)]
        assert plain or turned
        mirrored += not plain
        places.update(plain or turned)
    assert 10 <= mirrored <= 30 and len(places) > 20


def test_augmentation_depends_on_the_generator_alone():
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, again, other = (augmented(images, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_images_are_normalised_by_channel():
    images = torch.tensor([0, 255, 51], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 2, 2)
    normalised = Normalised((0.5, 0.25, 0.1), (0.2, 0.5, 0.1))(images)
    assert normalised[0, :, 0, 0].tolist() == pytest.approx([-2.5, 1.5, 1.0], abs=1e-5)
