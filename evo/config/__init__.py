"""Configuration of a campaign, and the directory of a run.

Values are checked here and used elsewhere; nothing is started.
"""

from evo.config.schema import ConfigError, load_config

__all__ = ["ConfigError", "load_config"]
