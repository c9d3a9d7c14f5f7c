"""The configuration of a campaign and the directory that a run writes."""

from evo.config.schema import ConfigError, load_config

__all__ = ["ConfigError", "load_config"]
