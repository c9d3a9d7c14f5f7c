"""Files and folders around an archive: how they are opened, locked and replaced safely."""
