"""One session of a campaign: what is looked at before it starts, how its parts are put together and ended, and the dry run."""
