"""The configuration, `policyd.toml`: its tables, what they mean, and what can be wrong."""

from policyd.config.configuration import Configuration as Configuration
from policyd.config.configuration import load_configuration as load_configuration
