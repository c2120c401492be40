use super::error::Error;

/// Why reading stopped before the end of the header.
pub(super) enum Stop {
    /// The prefix is sound so far, but the header goes on to at least this many bytes.
    NeedMore(u64),
    /// The file is bad, whatever follows.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Reads little-endian fields from a prefix of a file, and tells "not here yet" from "never here".
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    file_bytes: Option<u64>,
    limit_bytes: u64,
}

impl<'a> Cursor<'a> {
    pub fn new(prefix: &'a [u8], file_bytes: Option<u64>, limit_bytes: u64) -> Cursor<'a> {
        let known = file_bytes
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usize::MAX);
        Cursor {
            bytes: &prefix[..prefix.len().min(known)],
            at: 0,
            file_bytes,
            limit_bytes,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at as u64
    }

    /// Fails unless `n_items` things of at least `item_bytes` each lie ahead in the prefix.
    ///
    /// Whoever has passed this may take memory in proportion to `n_items`: the bytes are there.
    pub fn demand(
        &self,
        n_items: u64,
        item_bytes: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        let needed_bytes = n_items
            .checked_mul(item_bytes)
            .and_then(|n| n.checked_add(self.position()))
            .unwrap_or(u64::MAX);
        if needed_bytes <= self.bytes.len() as u64 {
            return Ok(());
        }
        match self.file_bytes {
            Some(file_bytes) if needed_bytes > file_bytes => Err(Error::Truncated {
                what: what(),
                needed_bytes,
                file_bytes,
            }
            .into()),
            _ if needed_bytes > self.limit_bytes => Err(Error::HeaderTooLarge {
                what: what(),
                needed_bytes,
                limit_bytes: self.limit_bytes,
            }
            .into()),
            _ => Err(Stop::NeedMore(needed_bytes)),
        }
    }

    /// The next `n_items * item_bytes` bytes.
    pub fn take(
        &mut self,
        n_items: u64,
        item_bytes: u64,
        what: impl FnOnce() -> String,
    ) -> Result<&'a [u8], Stop> {
        self.demand(n_items, item_bytes, what)?;
        // In range: `demand` compared the product with the length of a slice in memory.
        let end = self.at + (n_items * item_bytes) as usize;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// The next `N` bytes, for the `from_le_bytes` of a number.
    pub fn array<const N: usize>(
        &mut self,
        what: impl FnOnce() -> String,
    ) -> Result<[u8; N], Stop> {
        let bytes = self.take(1, N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    pub fn u32(&mut self, what: impl FnOnce() -> String) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: impl FnOnce() -> String) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A string of the format: its length in eight bytes, then UTF-8.
    pub fn string(&mut self, what: impl Fn() -> String) -> Result<&'a str, Stop> {
        let n_bytes = self.u64(&what)?;
        let bytes = self.take(n_bytes, 1, &what)?;
        std::str::from_utf8(bytes).map_err(|error| {
            Error::NotUtf8 {
                what: what(),
                at_byte: error.valid_up_to(),
            }
            .into()
        })
    }
}
