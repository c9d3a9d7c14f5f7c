"""Configuration of a campaign, and the directory of a run."""

from evo.config.schema import ConfigError, load_config

__all__ = ["ConfigError", "load_config"]
