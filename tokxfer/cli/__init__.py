"""Words in, words out: a small file per command, a lazy group, one output sink, one error table."""
