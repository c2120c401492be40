//! Byte-pair encoding over the vocabulary of a GGUF file, in tables of numbers.
//!
//! The library's own model holds every token twice as a string of its own, and takes the merges as
//! two strings each: 40 MB while it is built from 151,936 tokens, and a browser never gets memory
//! of WebAssembly back. Here the tokens lie in one buffer, and all else is ids: 7 MB. What a word
//! is, and what is cut out before, stays the library's.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use hashbrown::HashTable;
use tokenizers::{Model, Token, models::bpe::BpeTrainer};

use super::Error;
use crate::gguf::Strings;

/// Characters below this are found without hashing; all that stand for a byte are.
const N_DIRECT: usize = 512;
/// No id: of a place in a table that holds none.
const NONE: u32 = u32::MAX;

/// The tokens of a model and how they are merged.
#[derive(Debug, Clone)]
pub struct Bpe {
    /// By id.
    tokens: Strings,
    /// The ids of all tokens that a text can hold, by their text.
    ids: HashTable<u32>,
    /// Ids of the tokens of one character, by the character.
    characters: Vec<u32>,
    /// What the pair of each rank joins and makes.
    merges: Vec<Merge>,
    /// Ranks by the pair.
    ranks: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    left: u32,
    right: u32,
    makes: u32,
}

impl Bpe {
    /// - `tokens`: by id
    /// - `is_used`: of each id, whether a text can hold it
    /// - `merges`: pairs `a b` by rank
    ///
    /// Fails when two tokens in use are the same, and when a merge is not of two tokens that make a
    /// third. Of a pair that comes twice the later rank counts, as in the reference.
    pub fn new(
        tokens: &Strings,
        is_used: impl Fn(usize) -> bool,
        merges: &Strings,
    ) -> Result<Bpe, Error> {
        let mut bpe = Bpe {
            tokens: tokens.clone(),
            ids: HashTable::with_capacity(tokens.len()),
            characters: vec![NONE; N_DIRECT],
            merges: Vec::with_capacity(merges.len()),
            ranks: HashTable::with_capacity(merges.len()),
            hasher: RandomState::new(),
        };
        for (index, token) in tokens.iter().enumerate().filter(|(id, _)| is_used(*id)) {
            bpe.insert(token, index as u32)?;
        }
        let mut joined = String::new();
        for (index, merge) in merges.iter().enumerate() {
            let bad = |rule| Error::BadMerge {
                index,
                found: merge.to_owned(),
                rule,
            };
            let (left, right) = merge
                .split_once(' ')
                .ok_or_else(|| bad("is no pair of tokens"))?;
            joined.clear();
            joined.extend([left, right]);
            let (Some(left), Some(right), Some(makes)) =
                (bpe.id(left), bpe.id(right), bpe.id(&joined))
            else {
                return Err(bad("joins or makes something that is no token"));
            };
            bpe.push_merge(Merge { left, right, makes });
        }
        Ok(bpe)
    }

    fn insert(&mut self, token: &str, id: u32) -> Result<(), Error> {
        if let Some(first) = self.id(token) {
            let token = token.to_owned();
            let second = id;
            return Err(Error::DuplicateToken {
                token,
                first,
                second,
            });
        }
        let Bpe { tokens, hasher, .. } = self;
        let hash = |id: &u32| hasher.hash_one(tokens.get(*id as usize));
        self.ids.insert_unique(hash(&id), id, hash);
        let mut characters = token.chars();
        if let (Some(character), None) = (characters.next(), characters.next())
            && let Some(place) = self.characters.get_mut(character as usize)
        {
            *place = id;
        }
        Ok(())
    }

    fn push_merge(&mut self, merge: Merge) {
        let rank = self.merges.len() as u32;
        let known = self.rank(merge.left, merge.right);
        self.merges.push(merge);
        let Bpe { merges, hasher, .. } = self;
        let pair = |rank: &u32| {
            let Merge { left, right, .. } = merges[*rank as usize];
            hasher.hash_one((left, right))
        };
        let hash = pair(&rank);
        match known.and_then(|known| self.ranks.find_mut(hash, |rank| *rank == known)) {
            Some(place) => *place = rank,
            None => drop(self.ranks.insert_unique(hash, rank, pair)),
        }
    }

    /// The id of a token that a text can hold.
    fn id(&self, token: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(Some(token));
        let is_it = |id: &u32| self.tokens.get(*id as usize) == Some(token);
        self.ids.find(hash, is_it).copied()
    }

    fn id_of_character(&self, character: char, text: &str) -> Option<u32> {
        match self.characters.get(character as usize) {
            Some(id) => Some(*id).filter(|id| *id != NONE),
            None => self.id(text),
        }
    }

    fn rank(&self, left: u32, right: u32) -> Option<u32> {
        let hash = self.hasher.hash_one((left, right));
        let is_it = |rank: &u32| {
            let merge = self.merges[*rank as usize];
            (merge.left, merge.right) == (left, right)
        };
        self.ranks.find(hash, is_it).copied()
    }

    /// The tokens of a word: of all pairs that can be merged always the first one of the lowest
    /// rank, until there is none. What stands for no token is left out, as in the reference.
    fn merged(&self, word: &str) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::with_capacity(word.len());
        for (at, character) in word.char_indices() {
            let n_bytes = character.len_utf8();
            if let Some(id) = self.id_of_character(character, &word[at..at + n_bytes]) {
                let index = parts.len();
                parts.push(Part {
                    id,
                    n_bytes,
                    before: index.wrapping_sub(1),
                    after: index + 1,
                });
            }
        }
        let candidate = |parts: &[Part], at: usize| {
            let part = parts.get(at)?;
            let rank = self.rank(part.id, parts.get(part.after)?.id)?;
            Some(Reverse((rank, at)))
        };
        let mut queue: BinaryHeap<_> = (0..parts.len())
            .filter_map(|at| candidate(&parts, at))
            .collect();
        while let Some(Reverse((rank, at))) = queue.pop() {
            // What has been merged meanwhile makes another pair, or none.
            if parts[at].n_bytes == 0 || candidate(&parts, at) != Some(Reverse((rank, at))) {
                continue;
            }
            let gone = parts[at].after;
            let Part { n_bytes, after, .. } = parts[gone];
            parts[gone].n_bytes = 0;
            parts[at].id = self.merges[rank as usize].makes;
            parts[at].n_bytes += n_bytes;
            parts[at].after = after;
            if let Some(next) = parts.get_mut(after) {
                next.before = at;
            }
            queue.extend(candidate(&parts, parts[at].before));
            queue.extend(candidate(&parts, at));
        }
        parts.retain(|part| part.n_bytes > 0);
        parts
    }
}

/// A token of a word under way.
#[derive(Debug, Clone, Copy)]
struct Part {
    id: u32,
    /// Of the word; 0 once it has been merged into the one before.
    n_bytes: usize,
    /// Indices of its neighbours; of those past an end no part has one.
    before: usize,
    after: usize,
}

/// As the library asks for it. Of a token's text only the id is wanted, so none is copied.
impl Model for Bpe {
    type Trainer = BpeTrainer;

    fn tokenize(&self, sequence: &str) -> tokenizers::Result<Vec<Token>> {
        let mut start = 0;
        let token = |part: Part| {
            let end = start + part.n_bytes;
            let offsets = (std::mem::replace(&mut start, end), end);
            Token::new(part.id, String::new(), offsets)
        };
        Ok(self.merged(sequence).into_iter().map(token).collect())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.id(token)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.tokens.get(id as usize).map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let of = |id: &u32| Some((self.id_to_token(*id)?, *id));
        self.ids.iter().filter_map(of).collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.ids.len()
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("this model is only read".into())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}
