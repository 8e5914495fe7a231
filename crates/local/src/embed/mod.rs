//! Embeddings with a BERT model.
