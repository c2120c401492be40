//! Huffman codes and the bits they are read from.

use super::header::{Reader, ends_early};
use super::{Error, damaged};

/// Codes up to this length are found by one look-up.
const FAST_BITS: u32 = 9;

/// The code of one table.
pub(super) struct HuffmanTable {
    /// By the next `FAST_BITS` bits: length and value of the code they start with; length 0 if it is
    /// longer.
    fast: Vec<(u8, u8)>,
    /// For each length 1..=16: one more than its largest code, and what to add to a code to get the
    /// position of its value.
    ends: [(u32, i32); 17],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// - `counts`: number of codes of length 1, 2, ..., 16
    /// - `values`: what they stand for, shortest code first
    ///
    /// `None` when there are more codes than the lengths allow.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Option<HuffmanTable> {
        let mut fast = vec![(0, 0); 1 << FAST_BITS];
        let mut ends = [(0, 0); 17];
        let (mut code, mut at) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            ends[length as usize].1 = at as i32 - code as i32;
            for _ in 0..*count {
                let value = *values.get(at)?;
                if length <= FAST_BITS {
                    let start = (code as usize) << (FAST_BITS - length);
                    let n = 1 << (FAST_BITS - length);
                    fast.get_mut(start..start + n)?.fill((length as u8, value));
                }
                code += 1;
                at += 1;
            }
            if code > 1 << length {
                return None;
            }
            ends[length as usize].0 = code;
            code <<= 1;
        }
        Some(HuffmanTable {
            fast,
            ends,
            values: values.to_vec(),
        })
    }
}

/// Reads the bits of a scan, up to the next marker.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, at the top.
    bits: u64,
    n_bits: u32,
    /// How many of them are zeros put behind the data, which may be looked at but not taken.
    n_padding: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(reader: &Reader<'a>) -> BitReader<'a> {
        BitReader {
            bytes: reader.bytes,
            at: reader.at,
            bits: 0,
            n_bits: 0,
            n_padding: 0,
        }
    }

    /// Where the reading stopped: before a marker, or a few bytes past the bits that were taken.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Makes at least 32 bits available.
    fn refill(&mut self) {
        while self.n_bits <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff), _) | (None, _) => {
                    self.n_padding += 8;
                    0
                }
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.bits |= u64::from(byte) << (56 - self.n_bits);
            self.n_bits += 8;
        }
    }

    fn peek(&self, n: u32) -> u32 {
        (self.bits >> (64 - n)) as u32
    }

    fn skip(&mut self, n: u32) -> Result<(), Error> {
        self.bits <<= n;
        self.n_bits -= n;
        if self.n_bits < self.n_padding {
            return Err(if self.bytes.get(self.at + 1).is_some() {
                damaged("the data of a scan end early")
            } else {
                ends_early()
            });
        }
        Ok(())
    }

    /// The next `n` bits, at most 16, as a number.
    pub(super) fn take(&mut self, n: u32) -> Result<u32, Error> {
        if n == 0 {
            return Ok(0);
        }
        if self.n_bits < 32 {
            self.refill();
        }
        let bits = self.peek(n);
        self.skip(n)?;
        Ok(bits)
    }

    /// The next `n` bits, at most 15, as a signed difference.
    pub(super) fn take_signed(&mut self, n: u32) -> Result<i32, Error> {
        let bits = self.take(n)? as i32;
        Ok(if n > 0 && bits < 1 << (n - 1) {
            bits - (1 << n) + 1
        } else {
            bits
        })
    }

    /// The value of the next code.
    pub(super) fn decode(&mut self, table: &HuffmanTable) -> Result<u8, Error> {
        if self.n_bits < 32 {
            self.refill();
        }
        let (length, value) = table.fast[self.peek(FAST_BITS) as usize];
        if length > 0 {
            self.skip(u32::from(length))?;
            return Ok(value);
        }
        for length in FAST_BITS + 1..=16 {
            let code = self.peek(length);
            let (end, offset) = table.ends[length as usize];
            if code < end {
                self.skip(length)?;
                let value = table.values.get((code as i32 + offset) as usize);
                return value.copied().ok_or_else(bad_code);
            }
        }
        Err(bad_code())
    }

    /// Goes past the restart marker that must come next.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        // Whole bytes that were read ahead would be data in front of the marker.
        if self.n_bits - self.n_padding >= 8 {
            return Err(damaged("a restart marker is missing"));
        }
        while self.bytes.get(self.at + 1) == Some(&0xff) && self.bytes[self.at] == 0xff {
            self.at += 1;
        }
        match self.bytes.get(self.at..self.at + 2) {
            Some([0xff, 0xd0..=0xd7]) => {}
            Some(_) => return Err(damaged("a restart marker is missing")),
            None => return Err(ends_early()),
        }
        self.at += 2;
        (self.bits, self.n_bits, self.n_padding) = (0, 0, 0);
        Ok(())
    }
}

fn bad_code() -> Error {
    damaged("the data hold a code that its table lacks")
}
