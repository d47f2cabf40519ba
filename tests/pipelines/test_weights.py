import gc
from pathlib import Path

import pytest
import torch

from pipelines.engine.weights import CHUNK, Copier, layout_of, new_block, view_of

TYPES = (torch.float16, torch.bfloat16, torch.float32)


def memory_of_process():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.parametrize("target", TYPES)
@pytest.mark.parametrize("source", [*TYPES, torch.float64])
def test_copy_gives_the_numbers_that_pytorch_gives(source, target):
    values = torch.cat([torch.randn(CHUNK + 7) * 100, torch.tensor([0.0, 1e-7, 7e4, float("inf"), -1e-40])]).to(source)
    result = torch.empty(len(values), dtype=target)
    Copier().copy(result, values)
    assert result.equal(values.to(target))


@pytest.mark.parametrize("target", TYPES)
@pytest.mark.parametrize("shape", [(5, 7, 3, 3), (300, 200, 3, 3), (2, 3, 1, 1), (4, 6), ()])
def test_copy_reaches_any_layout(shape, target):
    values = torch.randn(shape).half()
    layout = layout_of({"a": values}, target, channels_last=True)
    result = view_of(new_block(layout.size), layout.slots["a"])
    Copier().copy(result, values)
    assert result.equal(values.to(target))
    assert len(shape) != 4 or result.is_contiguous(memory_format=torch.channels_last)


def test_copy_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        Copier().copy(torch.empty(2), torch.empty(3))


def test_tensors_of_a_block_do_not_overlap():
    layout = layout_of({"a": torch.empty(3), "b": torch.empty(0, 4), "c": torch.empty(5, 5)}, torch.float16, False)
    block = new_block(layout.size)
    for number, name in enumerate(layout.slots, start=1):
        view_of(block, layout.slots[name]).fill_(number)
    assert [set(view_of(block, slot).flatten().tolist()) for slot in layout.slots.values()] == [{1}, set(), {3}]


def test_block_goes_back_to_the_system_with_its_last_tensor():
    before = memory_of_process()
    block = new_block(64 * 2**20)
    view = block.fill_(1)[:4].view(torch.float32)
    del block
    assert memory_of_process() > before + 60 * 2**20
    del view
    gc.collect()
    assert memory_of_process() < before + 8 * 2**20
