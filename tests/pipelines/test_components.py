"""The tiers are tested without a GPU: the upper one is main memory too, but everything is moved and counted alike."""

import pytest
import torch

from pipelines.engine.components import CheckpointKey, ComponentCache

PART = 4 * 1000
CPU = torch.device("cpu")


def module(number):
    part = torch.nn.Linear(1000, 1, bias=False).requires_grad_(False)
    part.weight.fill_(number)
    return part


def key(name, identity="1"):
    return CheckpointKey(name, identity, "float32")


def one_tier(fitting):
    return ComponentCache({"ram": int(fitting * PART)}, CPU)


def two_tiers(on_gpu, in_ram):
    return ComponentCache({"gpu": int(on_gpu * PART), "ram": int(in_ram * PART)}, CPU)


def use(cache, name, number=None):
    """Load (a part of its own, filled with `number`) or find, run and leave a checkpoint, as the manager does."""
    holding = cache.get(key(name)) or cache.add(key(name), name, {"unet": module(number or ord(name)), "steps": 20})
    cache.enter(key(name))
    holding.pins += 1
    assert holding.parts["unet"].value.weight.eq(number or ord(name)).all()
    holding.pins -= 1
    cache.settle(holding)
    return holding


def places(cache):
    return {resident.name: resident.tier for resident in cache.report().residents}


def test_least_recently_used_leaves_first():
    cache = one_tier(2.5)
    for name in "abac":
        use(cache, name)
    assert list(places(cache)) == ["c", "a"]


@pytest.mark.parametrize(("fitting", "left"), [(0.5, "d"), (1, "d"), (2, "dc"), (3.9, "dcb"), (4, "dcba")])
def test_memory_keeps_to_the_budget_but_for_the_last_used(fitting, left):
    cache = one_tier(fitting)
    for name in "abcd":
        use(cache, name)
    assert "".join(places(cache)) == left
    assert cache.used("ram") == PART * len(left)


def test_what_is_in_use_or_kept_stays():
    cache = one_tier(1)
    use(cache, "a").pins += 1
    use(cache, "b")
    cache.kept.add("b")
    for name in "cd":
        use(cache, name)
    assert places(cache).keys() == {"a", "b", "d"}
    cache.release()
    assert places(cache).keys() == {"a", "b"}


def test_what_leaves_the_device_goes_to_main_memory_and_from_there_to_nothing():
    cache = two_tiers(1, 3)
    for name in "abcd":
        use(cache, name)
    assert places(cache) == {"d": "gpu", "c": "ram", "b": "ram"}
    assert (cache.used("gpu"), cache.used("ram")) == (PART, 3 * PART)  # what is on the device is there, too


def test_what_comes_back_to_the_device_is_what_left_it():
    cache = two_tiers(1, 10)
    a = use(cache, "a")
    use(cache, "b")
    assert not cache.is_ready(a)
    assert use(cache, "a") is a and cache.is_ready(a)
    assert places(cache) == {"a": "gpu", "b": "ram"}


def test_without_room_in_main_memory_what_leaves_the_device_is_forgotten():
    cache = two_tiers(1, 0)
    for name in "aba":
        use(cache, name)
    assert places(cache) == {"a": "gpu"}
    assert cache.used("ram") == 0


def test_copies_of_what_is_on_the_device_leave_main_memory_first():
    cache = two_tiers(2, 2)
    for name in "abc":
        use(cache, name)
    assert places(cache) == {"c": "gpu", "b": "gpu", "a": "ram"}
    assert cache.used("ram") <= 2 * PART
    for name in "abcabc":
        use(cache, name)
    assert places(cache).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(("room", "on_the_device"), [(1, "b"), (2, "")])
def test_what_is_offloaded_stays_in_main_memory_and_has_room_made_for_it(room, on_the_device):
    cache = two_tiers(2, 10)
    a = use(cache, "a")
    use(cache, "b")
    cache.stay(key("a"), room * PART)
    assert [name for name, tier in places(cache).items() if tier == "gpu"] == list(on_the_device)
    assert a.parts["unet"].value.weight.eq(ord("a")).all() and not cache.is_ready(a)
    assert use(cache, "a") is a and cache.is_ready(a)


def test_kept_checkpoints_make_way_on_the_device_but_stay_in_memory():
    cache = two_tiers(1, 1)
    use(cache, "a")
    cache.kept.add("a")
    for name in "bc":
        use(cache, name)
    assert places(cache) == {"c": "gpu", "a": "ram"}


@pytest.mark.parametrize("cache", [one_tier(10), two_tiers(10, 10)], ids=["cpu", "gpu"])
def test_equal_components_are_there_once_and_counted_once(cache):
    a, b, c = use(cache, "a", 1), use(cache, "b", 1), use(cache, "c", 2)
    assert a.parts["unet"] is b.parts["unet"] is not c.parts["unet"]
    assert cache.used("ram") == 2 * PART
    assert sum(resident.bytes for resident in cache.report().residents) == 2 * PART
    cache.forget(key("a"))
    assert use(cache, "b", 1) is b
    assert cache.used("ram") == 2 * PART


def test_what_another_checkpoint_shares_need_not_be_loaded_again():
    cache = one_tier(10)
    shared = use(cache, "a", 1).parts["unet"]
    use(cache, "b", 1)
    cache.forget(key("a"))
    assert cache.known(key("a")) == {"unet": shared}
    cache.forget(key("b"))
    assert cache.known(key("a")) == {}


def test_shared_component_stays_on_the_device_for_the_other():
    cache = two_tiers(2, 10)
    use(cache, "a", 1)
    use(cache, "b", 1)
    use(cache, "c", 2)
    assert places(cache) == {"c": "gpu", "b": "gpu", "a": "gpu"}
    use(cache, "d", 3)
    assert places(cache)["d"] == "gpu"
    assert cache.used("gpu") == 2 * PART
    assert use(cache, "b", 1).parts["unet"].value.weight.eq(1).all()


def test_models_with_other_configs_are_not_shared():
    one, other = module(1), module(1)
    one.config, other.config = {"eps": 1e-5, "_name": "x"}, {"eps": 1e-6}
    cache = one_tier(10)
    cache.add(key("a"), "a", {"vae": one})
    assert cache.add(key("b"), "b", {"vae": other}).parts["vae"].value is other


def test_changed_files_replace_what_was_loaded_of_them():
    cache = one_tier(10)
    cache.add(key("a", "1"), "a", {"unet": module(1)})
    cache.add(key("a", "2"), "a", {"unet": module(2)})
    assert cache.named("a") == [key("a", "2")]
    assert cache.used("ram") == PART


def test_forgotten_component_holds_no_memory_even_for_who_still_has_it():
    cache = one_tier(10)
    part = use(cache, "a").parts["unet"].value
    cache.forget(key("a"))
    assert part.weight.numel() == 0


class FullDevice(ComponentCache):
    """The device turns out to be full the first `times` times."""

    times = 0

    def _wait(self):
        if self.times:
            self.times -= 1
            raise torch.OutOfMemoryError


def test_full_device_is_cleared_once_more():
    cache = FullDevice({"gpu": 10 * PART, "ram": 10 * PART}, CPU)
    use(cache, "a")
    cache.times = 1
    use(cache, "b")
    assert places(cache)["b"] == "gpu"
