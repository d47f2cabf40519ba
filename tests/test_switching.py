"""The benchmarks of switching, run small."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def report_of(*arguments):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_switching_needs_no_second_copy_and_switching_back_is_at_once():
    report = report_of("benchmarks.switch", "--small", "--rounds", "1")
    assert 0 <= report["peak_over_file"] <= 1.4
    assert 0 < report["resident_milliseconds"] < 1000 * min(report["cold_seconds"], report["warm_seconds"])


def test_memory_returns_to_the_budget_and_pictures_stay_the_same():
    report = report_of("benchmarks.soak", "--switches", "6", "--references", "1")
    assert (report["switches"], report["over_budget"], report["different"]) == (6, 0, 0)
