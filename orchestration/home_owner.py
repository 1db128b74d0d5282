"""Which profile a home folder belongs to: two profiles of the same name would overwrite each other's results."""

import json
import os
from pathlib import Path

from resources.read_only_home import can_write
from selection_platform.configuration.profile import Profile, home, make_private, shipped_profiles
from selection_platform.errors import PlatformError
from selection_platform.job.folder import read_object, whole_file

OWNER = "profile.json"


def check_owner(profile: Profile) -> None:
    """Check that a profile's home, if it exists, does not belong to another file.

    A profile that was moved keeps its home, and so does one that was copied together with its home.

    Raises:
        PlatformError: it belongs to another file, which the message names.
    """
    record = home(profile) / OWNER
    if profile.file is None or not record.exists():
        return
    owner, here = read_object(record), _record(profile, profile.file)
    if owner.items() & here.items() or ("file" in owner and not Path(owner["file"]).exists()):
        return
    whose = owner.get("file") or f"the profile {owner['shipped']} that ships with the platform"
    raise PlatformError(
        f"{home(profile)} has the results of {whose}, and {profile.file.resolve()} has the same name; give one of them "
        "another `name:`"
    )


def own_home(profile: Profile) -> None:
    """Make the same check, and then record this profile as the owner, unless the home is read-only.

    Raises:
        PlatformError: it belongs to another file.
    """
    check_owner(profile)
    if profile.file is not None and can_write(home(profile)):
        make_private(home(profile))
        with whole_file(home(profile) / OWNER) as temporary:
            temporary.write_text(json.dumps(_record(profile, profile.file)), encoding="utf-8")


def _record(profile: Profile, file: Path) -> dict[str, str]:
    if file in shipped_profiles().values():
        # Its path depends on the installation.
        return {"shipped": file.stem}
    return {"file": str(file.resolve()), "from_home": os.path.relpath(file.resolve(), home(profile).resolve())}
