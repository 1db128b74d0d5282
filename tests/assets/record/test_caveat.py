"""What is said beside results, where all were answered by one engine and where not."""

import json

from assets.record.caveat import caveat
from resources.artifact_store import ArtifactStore
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.job.folder import open_job_folder


def test_results_of_two_engines_are_not_shown_without_a_word(tmp_path):
    profile, artifacts = load_profile("demo"), ArtifactStore(folder=str(tmp_path))
    first, second, third, *_ = profile.trained_experiments
    for key, said in ((first, {"seed": 0}), (second, {"engine": "transformers 5.1"})):
        folder = artifacts.benchmark_result(key)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(said))
    assert caveat(profile, artifacts) == profile.disclaimer
    folder = artifacts.benchmark_result(third)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"engine": "vllm 0.32.0"}')
    told = caveat(profile, artifacts) or ""
    assert told == (
        f"{profile.disclaimer} 3 models were evaluated, 2 with transformers and 1 with vllm 0.32.0, so their results "
        "differ also by the engine; `selection-platform run` evaluates all of them with the engine of the profile."
    )
    # It is evaluated again, and the warehouse still shows the result of before.
    assert not open_job_folder(folder, {"engine": "transformers"})
    assert not (folder / "manifest.json").exists()
    assert caveat(profile, artifacts) == told


def test_the_verdict_says_so(place, capsys):
    (manifest, *_) = sorted(place.folder.rglob("benchmark_result/**/manifest.json"))
    for options in ([], ["--json"]):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"engine": "transformers 4"}))
        assert main(["--profile", str(place.profile), "verdict", *options]) == 0
        assert "vllm" not in "".join(capsys.readouterr())
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"engine": "vllm 0.32.0"}))
        assert main(["--profile", str(place.profile), "verdict", *options]) == 0
        told = capsys.readouterr()
        assert "with transformers and 1 with vllm 0.32.0, so their results" in (told.err if options else told.out)
