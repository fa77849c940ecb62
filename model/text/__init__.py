"""From text to ids: normalization, words, stopwords, vocabulary, windows, sentences."""
