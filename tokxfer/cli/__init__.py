"""Words in, words out: one small file per command, a lazy group, one output sink, one error table."""
