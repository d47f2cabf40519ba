from dataclasses import replace

import pytest

from pipelines.engine.policy import Hardware, decide, detect, usable_cpus, usable_memory
from presets.errors import UserError
from presets.settings import Settings

GIB = 2**30
AMX = Hardware("cpu", "CPU", 24 * GIB, 2, amx=True, avx512_bf16=True)
OLD = Hardware("cpu", "CPU", 8 * GIB, 4)
H200 = Hardware("cuda", "H200", 139 * GIB, 16, capability=(9, 0), xformers_dtypes=("float16", "bfloat16", "float32"))
HALF = replace(H200, xformers_dtypes=("float16",))
BARE = Hardware("cuda", "RTX", 8 * GIB, 8, capability=(8, 6))


@pytest.mark.parametrize(
    ("hardware", "settings", "expected"),
    [
        (AMX, {}, ("cpu", "bfloat16", "float32", "sdpa", True, 2, 12 * GIB)),
        (OLD, {}, ("cpu", "float32", "float32", "sdpa", False, 4, 4 * GIB)),
        (H200, {}, ("cuda", "float16", "float16", "xformers", True, 16, 69.5 * GIB)),
        (BARE, {}, ("cuda", "float16", "float16", "sdpa", True, 8, 4 * GIB)),
        (H200, {"attention": "sdpa"}, ("cuda", "float16", "float16", "sdpa", True, 16, 69.5 * GIB)),
        (HALF, {"dtype": "bfloat16"}, ("cuda", "bfloat16", "bfloat16", "sdpa", True, 16, 69.5 * GIB)),
        (H200, {"attention": "sliced"}, ("cuda", "float16", "float16", "sliced", True, 16, 69.5 * GIB)),
        (H200, {"dtype": "bfloat16"}, ("cuda", "bfloat16", "bfloat16", "xformers", True, 16, 69.5 * GIB)),
        (AMX, {"dtype": "bfloat16"}, ("cpu", "bfloat16", "bfloat16", "sdpa", True, 2, 12 * GIB)),
        (AMX, {"dtype": "float32"}, ("cpu", "float32", "float32", "sdpa", False, 2, 12 * GIB)),
        (AMX, {"threads": 1, "memory_budget": 5}, ("cpu", "bfloat16", "float32", "sdpa", True, 1, 5)),
    ],
)
def test_policy_follows_hardware_and_settings(hardware, settings, expected):
    policy = decide(hardware, Settings(**settings))
    assert (
        policy.device,
        policy.dtype,
        policy.small_dtype,
        policy.attention_for(policy.dtype),
        policy.channels_last,
        policy.threads,
        policy.memory_budget,
    ) == expected


def test_small_models_stay_in_float32_on_a_cpu_with_amx():
    policy = decide(AMX, Settings())
    assert policy.dtype_for(9_000_000) == "float32"
    assert policy.dtype_for(859_520_964) == "bfloat16"


@pytest.mark.parametrize(
    ("hardware", "settings", "sentence"),
    [
        (OLD, {"device": "cuda"}, "no cuda device"),
        (OLD, {"attention": "xformers"}, "xformers does not run"),
        (BARE, {"attention": "xformers"}, "xformers does not run"),
        (OLD, {"dtype": "float16"}, "float16"),
        (AMX, {"offload": "model"}, "needs a GPU"),
    ],
)
def test_setting_that_the_hardware_cannot_follow_is_refused(hardware, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        decide(hardware, Settings(**settings))


def test_policy_can_be_printed():
    text = str(decide(AMX, Settings()))
    assert text == "cpu, bfloat16 (float32 for small models), attention by sdpa, 2 threads, 12.0 GiB for weights"


def test_this_machine_is_detected_the_same_twice():
    settings = Settings(device="cpu")
    assert detect(settings) == detect(settings)
    assert detect(settings).cpus == usable_cpus() >= 1
    assert detect(settings).memory == usable_memory() > GIB
