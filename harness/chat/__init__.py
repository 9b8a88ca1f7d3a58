"""Chat templates: what a tokenizer's template does, and which tokens of a row are the assistant's."""
