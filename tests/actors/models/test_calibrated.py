"""Linear maps in 8-bit integers with fixed scales: near the exact ones within what was seen, cut beyond it."""

import pytest
import torch

from actors.models.backbones.calibrated import CalibratedLinear, Grid, Seen
from actors.models.backbones.feed_forward import CalibratedFeedForward, FeedForward
from actors.models.backbones.layers import Linear, activation

GRIDS = [Grid(7), Grid.of_this_machine()]


def numbers(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(rows, seed=1):
    """As a layer norm leaves them: one input far from 0, one that reaches far."""
    x = numbers(rows, 64, seed=seed)
    x[:, 5] += 12
    x[:, 9] *= 15
    return x


def linear(outputs, inputs, bias=True):
    return Linear(numbers(outputs, inputs) / inputs**0.5, numbers(outputs, seed=4) if bias else None)


def feed_forward(name, outlier=1.0):
    up = linear(96, 64)
    up.weight[7] *= outlier
    return FeedForward(up, name, activation(name), linear(64, 96))


def error(found, exact):
    return float((found - exact).norm() / exact.norm())


def added(step, x):
    """What a feed-forward step adds to x."""
    return step.plus(x) - x


def rounded(exact, grid=GRIDS[-1]):
    x = states(200)
    inner = exact.act(exact.up(x))
    return CalibratedFeedForward.of(exact, Seen.of(x), Seen.of(inner), grid)


@pytest.mark.parametrize("grid", GRIDS, ids=["7-bit", "this-machine"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_calibrated_map_is_near_the_exact_one_for_numbers_like_those_it_saw(grid, bias):
    exact = linear(48, 64, bias)
    map8 = CalibratedLinear.of(exact, Seen.of(states(200)), grid)
    fresh = states(100, seed=2)
    assert 0 < error(map8(fresh), exact(fresh)) < 0.02 * 2 ** (8 - grid.bits)
    assert torch.equal(map8.part(10, 30)(fresh), map8(fresh)[:, 10:30])


@pytest.mark.parametrize("grid", GRIDS, ids=["7-bit", "this-machine"])
def test_numbers_beyond_what_was_seen_are_cut_and_never_wrap_around(grid):
    exact = linear(48, 64)
    map8 = CalibratedLinear.of(exact, Seen.of(states(200)), grid)
    one = states(1)
    for sign in (1, -1):
        far, further = one.clone(), one.clone()
        far[0, 9], further[0, 9] = sign * 1e4, sign * 1e9
        assert torch.equal(map8(far), map8(further))
        direction = exact(far) - exact(one)
        assert float((map8(far) - map8(one)) @ direction.T) > 0


def test_a_calibrated_map_adds_to_what_it_is_given_and_leaves_that_as_it_is():
    map8, fresh, other = CalibratedLinear.of(linear(48, 64), Seen.of(states(200)), GRIDS[-1]), states(100, seed=2), numbers(100, 48)
    kept = other.clone()
    torch.testing.assert_close(map8.plus(fresh, other), kept + map8(fresh), atol=1e-5, rtol=0)
    assert torch.equal(other, kept)


@pytest.mark.parametrize("grid", GRIDS, ids=["7-bit", "this-machine"])
@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu"])
def test_a_feed_forward_step_is_near_the_exact_one_with_any_activation(name, grid):
    exact, fresh = feed_forward(name), states(100, seed=2)
    assert 0 < error(added(rounded(exact, grid=grid), fresh), added(exact, fresh)) < 0.03 * 2 ** (8 - grid.bits)


@pytest.mark.parametrize("grid", GRIDS, ids=["7-bit", "this-machine"])
def test_inner_numbers_beyond_what_was_seen_stay_on_the_grid(grid):
    step = rounded(feed_forward("gelu"), grid)
    inner = step.up.activated_whole(step.up.place(states(50) * 10), step.activation, step.scale, step.zero)
    assert 0 <= int(inner.min()) and int(inner.max()) == grid.steps


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_neurons_that_never_fired_may_yet(name):
    quiet = FeedForward(Linear(numbers(96, 64) / 8, torch.full((96,), -60.0)), name, activation(name), linear(64, 96))
    x = states(200)
    step = CalibratedFeedForward.of(quiet, Seen.of(x), Seen.of(quiet.act(quiet.up(x))), GRIDS[-1])
    assert 0 <= step.zero <= 255 and step.plus(x).isfinite().all()


def test_a_neuron_that_reaches_far_beyond_the_others_costs_them_no_accuracy():
    exact, fresh = feed_forward("gelu", outlier=40.0), states(100, seed=2)
    step = rounded(exact)
    assert step.apart is not None
    even = feed_forward("gelu")
    assert error(added(step, fresh), added(exact, fresh)) < error(added(rounded(even), fresh), added(even, fresh))


def test_inputs_that_never_moved_and_weights_of_nothing_divide_by_no_zero():
    exact = Linear(torch.zeros(8, 64), torch.ones(8))
    assert torch.equal(CalibratedLinear.of(exact, Seen.of(torch.zeros(5, 64)), GRIDS[-1])(torch.zeros(3, 64)), torch.ones(3, 8))
    step = FeedForward(Linear(torch.zeros(96, 64)), "relu", torch.relu, Linear(torch.zeros(64, 96)))
    seen = Seen.of(torch.zeros(5, 64)), Seen.of(torch.zeros(5, 96))
    assert torch.equal(CalibratedFeedForward.of(step, *seen, GRIDS[-1]).plus(torch.zeros(3, 64)), torch.zeros(3, 64))
