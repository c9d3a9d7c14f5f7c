"""Reading of users' preference data as pairs: files, columns, forms of texts and conversations, prompts, split into parts."""
