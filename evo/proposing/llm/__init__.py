"""Client for language models behind OpenAI-compatible endpoints, and the format of its requests."""
