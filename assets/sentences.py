"""The vectors of the sentence encoder, which needs no base model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.job_inputs import samples_file
from assets.record.settings_used import Used
from assets.record.vectors import SENTENCES
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.job.folder import look_of
from selection_platform.job.growing import first_job, score_new_samples
from selection_platform.models.files import encoder_files

if TYPE_CHECKING:
    from selection_platform.features.sentence_embedding import SentenceSpec, SentenceSummary


def sentence_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @platform_asset(
        partitions=partitions.pools,
        deps=[partitions.pools_to_pools("pool")],
        group="features",
        kinds={"pytorch"},
        settings=encoder_settings(profile),
        gpu=True,
        sql=["30_features/samples_to_score"],
        by=["sentence_embedding"],
        folder=lambda artifacts, pool: first_job(artifacts.scoring(pool) / SENTENCES),
    )
    def sentence_embedding(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The vector of each sample by a sentence encoder, in files."""
        from selection_platform.features.sentence_embedding import SENTENCE_EMBEDDING, SentenceSummary, job_settings

        folder = artifacts.scoring(context.partition_key) / SENTENCES
        samples = samples_file(context.partition_key, folder.with_name(f"{SENTENCES}.samples"), warehouse)
        spec = sentence_spec(profile, samples)
        run = jobs.runner(context, SENTENCE_EMBEDDING)
        grown = score_new_samples(spec, folder, run, SentenceSummary, job_settings(spec))
        shutil.rmtree(samples.parent)
        return dg.MaterializeResult(
            metadata={"samples embedded now": grown.new_samples, **sentence_metadata(grown.summary)},
            data_version=dg.DataVersion(grown.content_hash),
        )

    return [sentence_embedding]


def encoder_settings(profile: Profile) -> Callable[[str], Used]:
    """What the vectors depend on."""

    def used(_: str) -> Used:
        folder = profile.encoder.folder
        # The content of the folder, not its path.
        look = {} if folder is None else {"encoder.path": look_of(encoder_files(folder))}
        return {"encoder": profile.encoder.used(), **look}

    return used


def sentence_spec(profile: Profile, samples: Path) -> "SentenceSpec":
    """A job over the conversations in a file."""
    from selection_platform.features.sentence_embedding import SentenceSpec
    from selection_platform.models.sentence_encoder import encoder_folder

    return SentenceSpec(
        encoder_folder=str(encoder_folder(profile.encoder)),
        samples_file=str(samples),
        scoring=profile.encoder.sizes,
        dtype="float32",
        text=TextSettings(),
    )


def sentence_metadata(summary: "SentenceSummary") -> dict[str, int | float]:
    """The metadata of such a job."""
    return {
        "samples": summary.samples,
        "tokens": summary.tokens,
        "padding": summary.padding_share,
        "samples that lost their end": summary.cut,
        "seconds": summary.seconds,
        "peak memory, bytes": summary.peak_memory_bytes,
    }
