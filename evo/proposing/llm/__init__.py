"""The client of a language model behind an endpoint that speaks OpenAI's chat completions, and what it sends."""
