#!/usr/bin/env python3
"""Writes texts of exact lengths in tokens, with their tokens, so that every engine gets the same ones.

    python3 bench/peers/make_inputs.py TOKENIZER.json OUT.json LENGTH...

OUT is {"16": {"text": ..., "ids": [...]}, ...}: `ids` are the tokens of "Passage: " + text, the form in which
jina-embeddings-v4 reads a passage. The words vary, since attention over equal tokens is the same whatever the
scores are, and would hide a wrong mask or position.
"""
import json
import random
import sys

from tokenizers import Tokenizer

PREFIX = 'Passage: '
WORDS = ('the of a and to in is for on with as by from at this that search text image words river mountain city '
         'music paper machine language question answer light water colour number time house garden bird').split()


def text_of(tokenizer, n_tokens, rng):
    """Random words, as many as fit; a word that would be too long gives way to another."""
    def count(text):
        return len(tokenizer.encode(PREFIX + text, add_special_tokens=False).ids)
    text, found, tries = rng.choice(WORDS), 0, 0
    while (found := count(text)) < n_tokens:
        # Far from the end many words at once, or long texts take quadratic time.
        more = ' '.join(rng.choice(WORDS) for _ in range(max(1, (n_tokens - found) // 4)))
        if count(f'{text} {more}') <= n_tokens:
            text, tries = f'{text} {more}', 0
        elif (tries := tries + 1) > 1000:
            raise SystemExit(f'no text of {n_tokens} tokens: none of the words fits behind {found}')
    if found != n_tokens:
        raise SystemExit(f'no text of {n_tokens} tokens: the prefix and a word have {found}')
    return text


def main():
    path, out, *lengths = sys.argv[1:]
    tokenizer = Tokenizer.from_file(path)
    rng = random.Random(4)
    inputs = {}
    for n_tokens in map(int, lengths):
        text = text_of(tokenizer, n_tokens, rng)
        inputs[n_tokens] = {'text': text, 'ids': tokenizer.encode(PREFIX + text, add_special_tokens=False).ids}
    with open(out, 'w') as file:
        json.dump(inputs, file)


if __name__ == '__main__':
    main()
