"""Reading of users' preference data as pairs: files, columns, forms of texts and conversations, prompts, split into parts.

No tokens here: texts and conversations are rendered and tokenised in `fitness.preference.pairs`.
"""
