from benchmarks.gpu import measure, options_of


def test_the_benchmark_for_gpus_runs_to_its_end_on_a_cpu_with_tiny_models():
    report = measure(options_of(["--small", "--device", "cpu", "--steps", "2", "--rounds", "1", "--no-compile"]))
    assert report["card"] == "CPU"
    for family in (report["sd1"], report["sdxl"]):
        speeds = family["steps_per_second"]
        assert speeds["easel"] > 0 and speeds["diffusers_sdpa"] > 0
        assert family["switch"]["bytes"] > 0 and family["switch"]["plain_copy_seconds"] > 0
        assert {"first_on", "again_off"} <= family["lora_seconds"].keys()
        assert family["peak_bytes"] is None and family["picture_seconds"] > 0
