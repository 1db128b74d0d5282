"""The commands that look after the disk: what takes how much room, and freeing what nothing needs."""

import argparse
from dataclasses import asdict

from orchestration.disk_usage import in_words
from orchestration.run_lock import only_run
from selection_platform.cli.run import open_staleness, print_json
from selection_platform.configuration.profile import Profile, home


def disk(profile: Profile, options: argparse.Namespace) -> None:
    """Print what takes how much room, largest first, and what could be freed."""
    from orchestration.cleaning import clean, uses
    from orchestration.retention import Retention

    with open_staleness(profile) as (staleness, _, resources, instance):
        found = uses(profile, staleness, resources, home(profile))
        retention = Retention(profile, staleness, resources)
        settings = profile.checkpoints
        weights = {
            keep: sum(retention.droppable(settings.model_copy(update={"keep": keep})).values())
            for keep in ("all", "best", "none")
        }
        cleaning = clean(profile, staleness, resources, instance, dry_run=True)
    total, removed = sum(use.bytes for use in found), sum(use.bytes for use in found if not use.in_profile)
    if options.json:
        print_json(
            {
                "profile": profile.name,
                "home": str(home(profile)),
                "bytes": total,
                "uses": [asdict(use) for use in found],
                "freed_by": {"clean": cleaning.warehouse, "clean --removed": removed, "checkpoints.keep": weights},
                "keep": settings.keep,
            }
        )
        return
    for use in found:
        print(f"{in_words(use.bytes):>10}  {use}" + ("" if use.in_profile else "  (in the profile no more)"))
    print(f"{in_words(total):>10}  in all, in {home(profile)}")
    print(f"\n`clean` frees {in_words(cleaning.warehouse + weights[settings.keep])}, and with --removed "
          f"{in_words(removed)} more.")  # fmt: skip
    for keep in ("best", "none"):
        if keep != settings.keep and weights[keep]:
            named = f"best, best: {settings.best}" if keep == "best" else keep
            print(f"With `checkpoints: {{keep: {named}}}` weights of {in_words(weights[keep])} go.")


def clean(profile: Profile, options: argparse.Namespace) -> None:
    """Drop what the profile does not keep and what of the warehouse's past nothing refers to."""
    from orchestration.cleaning import clean as clean_home
    from orchestration.materialize import end_killed_runs

    with only_run(home(profile)), open_staleness(profile) as (staleness, _, resources, instance):
        if not options.dry_run:
            end_killed_runs(instance, of_scripts=True)
        found = clean_home(
            profile, staleness, resources, instance, removed=options.removed, dry_run=options.dry_run
        )  # fmt: skip
    would = "would be " if options.dry_run else ""
    for key, count in found.weights.items():
        print(f"{in_words(count):>10}  weights of {key}")
    for folder, count in found.removed.items():
        print(f"{in_words(count):>10}  {folder}")
    print(f"{in_words(found.warehouse):>10}  {len(found.snapshots):,} old snapshots of the warehouse")
    print(f"{in_words(found.bytes):>10}  {would}freed")
