//! Reading: a file is fed in pieces, and an index grows from its commits.

use super::super::Error;
use super::super::index::Index;
use super::super::journal::{Journal, Written};
use super::super::schema::{Schema, Space, TokenStorage};
use super::super::tokens::Tokens;
use super::headers::{Cursor, read_commit_header, read_file_header};
use super::write::{CommitHeader, FileHeader};
use super::{ALIGNMENT, CHECKSUM_BYTES, COMMIT_HEADER_BYTES, checksum};

/// Memory that is taken for a payload before its bytes are there.
const MAX_BYTES_AHEAD: usize = 64 << 20;

/// What opening a file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Good commits.
    pub n_commits: u64,
    /// Bytes after them that were dropped: a commit that never finished, or damage.
    pub discarded_bytes: u64,
    /// What was damaged, where the caller asked to recover what comes before.
    pub damage: Option<String>,
}

/// Reads an index file from bytes in file order, in pieces of any size.
#[derive(Debug)]
pub struct Reader {
    recover: bool,
    /// What was fed and not used yet.
    buffer: Vec<u8>,
    /// Bytes that were fed.
    n_fed: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Header,
    Commits(Box<Growing>),
    /// A call failed; so do all after it.
    Failed(Error),
}

/// An index with the commits so far.
#[derive(Debug)]
struct Growing {
    index: Index,
    header: FileHeader,
    written: Written,
    damage: Option<Damage>,
}

/// Where good commits ended before the file did.
#[derive(Debug)]
struct Damage {
    offset: u64,
    reason: String,
    /// Something was committed after it.
    is_followed: bool,
}

impl Reader {
    /// A reader that was fed nothing.
    ///
    /// - `recover`: open a damaged file too, with what comes before the damage
    pub fn new(recover: bool) -> Reader {
        Reader {
            recover,
            buffer: Vec::new(),
            n_fed: 0,
            state: State::Header,
        }
    }

    /// Reads the next bytes of the file.
    ///
    /// Fails as soon as they cannot be those of an index file, and when there is no memory.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        self.take(bytes).inspect_err(|error| {
            self.buffer = Vec::new();
            self.state = State::Failed(error.clone());
        })
    }

    /// The index as of the last commit.
    ///
    /// Fails when the file ended before its first state, and when it is damaged, unless it is to be
    /// recovered.
    pub fn finish(self) -> Result<(Index, Opened), Error> {
        let n_bytes = self.n_fed;
        let growing = match self.state {
            State::Failed(error) => return Err(error),
            State::Header => {
                let needed = "its header".to_owned();
                return Err(Error::Incomplete { n_bytes, needed });
            }
            State::Commits(growing) => *growing,
        };
        let Growing {
            mut index,
            header,
            written,
            damage,
        } = growing;
        let mut what = None;
        if let Some(Damage {
            offset,
            reason,
            is_followed: true,
        }) = damage
        {
            let error = Error::Damaged { offset, reason };
            what = Some(error.to_string());
            if !self.recover {
                return Err(error);
            }
        }
        if written.sequence < header.snapshot_commits {
            let needed = format!("the {} commits of its first state", header.snapshot_commits);
            let error = Error::Incomplete { n_bytes, needed };
            what = what.or(Some(error.to_string()));
            if !self.recover {
                return Err(error);
            }
        }
        let rows = index.n_rows() as u32;
        let names = index.names.len();
        index.journal = Journal::resume(Written {
            rows,
            names,
            ..written
        });
        let opened = Opened {
            n_commits: written.sequence,
            discarded_bytes: n_bytes - written.n_bytes,
            damage: what,
        };
        Ok((index, opened))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.n_fed += bytes.len() as u64;
        let n_bytes = bytes.len() as u64;
        self.buffer
            .try_reserve(bytes.len())
            .map_err(|_| Error::OutOfMemory { n_bytes })?;
        self.buffer.extend_from_slice(bytes);
        if let State::Header = self.state {
            let Some((header, chain, n_bytes)) = read_file_header(&self.buffer)? else {
                return Ok(());
            };
            let index = Index::new(header.schema.clone()).map_err(|error| Error::NotAnIndex {
                reason: error.to_string(),
            })?;
            let written = Written {
                generation: header.generation,
                n_bytes: n_bytes as u64,
                chain,
                ..Written::default()
            };
            self.buffer.drain(..n_bytes);
            self.state = State::Commits(Box::new(Growing {
                index,
                header,
                written,
                damage: None,
            }));
        }
        let State::Commits(growing) = &mut self.state else {
            return Ok(());
        };
        let mut used = 0;
        while growing.damage.is_none() {
            match growing.next_commit(&self.buffer[used..])? {
                Next::Commit(n_bytes) => used += n_bytes,
                Next::More(n_bytes) => {
                    // Most of a large commit is still to come: room for it, once.
                    let more = n_bytes
                        .min(MAX_BYTES_AHEAD)
                        .saturating_sub(self.buffer.len() - used);
                    self.buffer.drain(..used);
                    used = 0;
                    self.buffer
                        .try_reserve_exact(more)
                        .map_err(|_| Error::OutOfMemory {
                            n_bytes: more as u64,
                        })?;
                    break;
                }
                Next::Damage(reason) => {
                    let offset = growing.written.n_bytes;
                    growing.damage = Some(Damage {
                        offset,
                        reason,
                        is_followed: false,
                    });
                    // The commit at fault does not follow itself.
                    used += ALIGNMENT.min(self.buffer.len() - used);
                }
            }
        }
        if let Some(damage) = &mut growing.damage {
            let sequence = growing.written.sequence;
            while self.buffer.len() - used >= COMMIT_HEADER_BYTES {
                let at = &self.buffer[used..used + COMMIT_HEADER_BYTES];
                damage.is_followed |=
                    read_commit_header(at).is_ok_and(|header| header.sequence > sequence);
                used += ALIGNMENT;
            }
        }
        self.buffer.drain(..used);
        Ok(())
    }
}

enum Next {
    /// One was applied; it had so many bytes.
    Commit(usize),
    /// It needs so many bytes in all.
    More(usize),
    Damage(String),
}

impl Growing {
    fn next_commit(&mut self, bytes: &[u8]) -> Result<Next, Error> {
        let Some(header_bytes) = bytes.get(..COMMIT_HEADER_BYTES) else {
            return Ok(Next::More(COMMIT_HEADER_BYTES));
        };
        let header = match read_commit_header(header_bytes) {
            Ok(header) => header,
            Err(reason) => return Ok(Next::Damage(reason.to_owned())),
        };
        if (header.sequence, header.previous) != (self.written.sequence + 1, self.written.chain) {
            return Ok(Next::Damage(
                "a commit does not follow the one before it".to_owned(),
            ));
        }
        // A length that no memory holds is a wait for bytes that do not come.
        let n_payload = usize::try_from(header.n_payload).unwrap_or(usize::MAX);
        let n_sealed = n_payload.saturating_add(COMMIT_HEADER_BYTES);
        let n_bytes = n_sealed.saturating_add(CHECKSUM_BYTES);
        let Some(commit) = bytes.get(..n_bytes) else {
            return Ok(Next::More(n_bytes));
        };
        let (sealed, found) = commit.split_at(n_sealed);
        let sum = checksum(sealed);
        if found != sum.to_le_bytes() {
            return Ok(Next::Damage("the checksum of a commit is wrong".to_owned()));
        }
        let offset = self.written.n_bytes;
        // Sound checksums: whoever wrote the file wrote this.
        self.apply(&header, &sealed[COMMIT_HEADER_BYTES..])
            .map_err(|failed| match failed {
                Failed::Payload(reason) => Error::Damaged { offset, reason },
                Failed::Other(error @ Error::OutOfMemory { .. }) => error,
                Failed::Other(error) => Error::Damaged {
                    offset,
                    reason: error.to_string(),
                },
            })?;
        self.written.sequence = header.sequence;
        self.written.chain = sum;
        self.written.n_bytes += n_bytes as u64;
        Ok(Next::Commit(n_bytes))
    }

    fn apply(&mut self, header: &CommitHeader, payload: &[u8]) -> Result<(), Failed> {
        let index = &mut self.index;
        let schema = index.schema.clone();
        let mut cursor = Cursor(payload);
        for _ in 0..header.n_names {
            let name = cursor.string()?;
            if index.names.place(name).is_some() {
                return Err(Failed::Payload(format!(
                    "the field `{name}` is named twice"
                )));
            }
            index.names.intern(name)?;
        }
        for _ in 0..header.n_removed {
            if let Some(row) = index.row_of(cursor.string()?) {
                index.kill(row);
            }
        }
        let mut rows = Vec::new();
        for _ in 0..header.n_rows {
            let id = cursor.string()?;
            if id.is_empty() || id.len() > crate::search::MAX_ID_BYTES || index.row_of(id).is_some()
            {
                return Err(Failed::Payload(format!(
                    "a row has the id `{id}`, which cannot be"
                )));
            }
            rows.push((id, cursor.fields(index)?));
        }
        index.reserve(rows.len())?;
        // The vectors of all rows come before the tokens of all rows: walk over both.
        let width = schema.single().map_or(0, |space| space.dimensions);
        let n_rows = rows.len();
        let mut vectors =
            Cursor(cursor.bytes(n_rows.checked_mul(width * 4).ok_or_else(ends_early)?)?);
        let mut vector = vec![0.0f32; width];
        for (id, fields) in rows {
            bytemuck::cast_slice_mut(&mut vector).copy_from_slice(vectors.bytes(width * 4)?);
            let tokens = match schema.multi() {
                Some(space) => cursor.tokens(space, &schema)?,
                None => None,
            };
            if index.row_of(id).is_some() {
                return Err(Failed::Payload(format!("two rows have the id `{id}`")));
            }
            let given = schema.single().map(|_| &vector[..]);
            let item = index.check_item(given, tokens, fields.into(), || format!("row `{id}`"))?;
            index.push(id, given, item);
        }
        for _ in 0..header.n_updated {
            let id = cursor.string()?;
            let fields = cursor.fields(index)?.into();
            let row = index
                .row_of(id)
                .ok_or_else(|| Error::UnknownId { id: id.to_owned() })?;
            index.fields[row as usize] = fields;
        }
        if cursor.0.len() >= ALIGNMENT || cursor.0.iter().any(|byte| *byte != 0) {
            return Err(Failed::Payload("a commit goes on after its end".to_owned()));
        }
        Ok(())
    }
}

/// Why a commit with sound checksums cannot be applied.
enum Failed {
    Payload(String),
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Other(error)
    }
}

fn ends_early() -> Failed {
    Failed::Payload("a commit ends early".to_owned())
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, n: usize) -> Result<&'a [u8], Failed> {
        self.0.split_off(..n).ok_or_else(ends_early)
    }

    fn string(&mut self) -> Result<&'a str, Failed> {
        let n = self.u32().ok_or_else(ends_early)?;
        std::str::from_utf8(self.bytes(n as usize)?)
            .map_err(|_| Failed::Payload("a text is not UTF-8".to_owned()))
    }

    fn fields(&mut self, index: &Index) -> Result<&'a [u8], Failed> {
        let n = self.u32().ok_or_else(ends_early)?;
        let packed = self.bytes(n as usize)?;
        if !index.names.is_sound(packed) {
            return Err(Failed::Payload(
                "the fields of a row cannot be read".to_owned(),
            ));
        }
        Ok(packed)
    }

    /// The tokens of a row, if it has any.
    fn tokens(&mut self, space: &Space, schema: &Schema) -> Result<Option<Tokens>, Failed> {
        let n_tokens = self.u32().ok_or_else(ends_early)? as usize;
        if n_tokens == 0 {
            return Ok(None);
        }
        let n = n_tokens
            .checked_mul(space.dimensions)
            .ok_or_else(ends_early)?;
        let mut numbers = |n: usize| -> Result<Vec<f32>, Failed> {
            let bytes = self.bytes(n.checked_mul(4).ok_or_else(ends_early)?)?;
            let mut numbers = vec![0.0; n];
            bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(bytes);
            Ok(numbers)
        };
        let tokens = match schema.token_storage {
            TokenStorage::Float32 => {
                Tokens::from_parts(numbers(n)?, space.dimensions, schema.metric)
            }
            TokenStorage::Int8 => {
                let steps = numbers(n_tokens)?;
                let codes = bytemuck::cast_slice(self.bytes(n)?).to_vec();
                Tokens::from_coded_parts(steps, codes, space.dimensions, schema.metric)
            }
        };
        let bad = || Failed::Payload("a token of a row cannot be computed with".to_owned());
        Ok(Some(tokens.ok_or_else(bad)?))
    }
}
