from benchmarks.loras import measure, options_of


def test_the_benchmark_of_loras_runs_on_a_tiny_model_and_finds_its_weights_as_before():
    report = measure(options_of(["--small", "--rounds", "1", "--dtype", "float32"]))
    assert report["identical"] is True
    assert {"merge_job_cost", "restore_add_one", "diffusers_fuse", "diffusers_set_adapters"} <= report["seconds"].keys()
    assert all(seconds >= 0 for seconds in report["seconds"].values())
