"""People's preference data as pairs: files, columns, forms of text and conversation, prompts, parts."""
