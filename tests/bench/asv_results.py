"""Writes result files in asv's format for tests."""

import json
import math


def write_file(folder, commit, date, results):
    """Writes one commit's results on machine "m"; by benchmark: [values, values of each parameter, version]."""
    file = {
        "version": 2, "commit_hash": commit, "env_name": "env", "date": date, "python": "3.11", "requirements": {},
        "env_vars": {}, "params": {"machine": "m", "python": "3.11"}, "result_columns": ["result", "params", "version"],
        "results": results, "durations": {},
    }  # fmt: skip
    (folder / "m").mkdir(parents=True, exist_ok=True)
    (folder / "m" / "machine.json").write_text(json.dumps({"version": 1, "machine": "m"}))
    (folder / "m" / f"{commit[:8]}-env.json").write_text(json.dumps(file))


def write_results(folder, commit, date, error, seconds, accuracy, version="1"):
    """Writes one benchmark of each kind and the suite's description; some rows are skipped, one failed."""
    results = {
        "quality.Error.track_error": [[error, math.nan], [["'w_net'", "'fc_1'"]], version],
        "inference.Answer.time_answer": [
            [seconds, seconds * 9, None, math.nan],
            [["'w_net'", "'null'"], ["1", "64"]],
            version,
        ],
        "quality.ChartedAccuracy.track_accuracy": [[accuracy], [["'w_net'"]], version],
        "gpu.Host.time_answer": [[math.nan], [["'w_net'"]], version],
    }
    write_file(folder, commit, date, results)
    suite = {
        "quality.Error.track_error": ("% of test pairs", ["variant"], "track"),
        "inference.Answer.time_answer": ("seconds", ["variant", "batch"], "time"),
        "quality.ChartedAccuracy.track_accuracy": ("% of test pairs", ["variant"], "track"),
        "gpu.Host.time_answer": ("seconds", ["variant"], "time"),
    }
    about = {
        name: {
            "name": name, "unit": unit, "param_names": names, "params": results[name][1], "type": kind,
            "version": version, "code": "", "timeout": 60,
        }
        for name, (unit, names, kind) in suite.items()
    }  # fmt: skip
    (folder / "benchmarks.json").write_text(json.dumps({"version": 2, **about}))
