//! Markers, tables and headers.

use super::huffman::HuffmanTable;
use super::{Error, damaged, unsupported};

/// Position in a block's row-major order of the k-th coefficient of a file.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the next segment is.
pub(super) enum Marker {
    /// A frame header.
    Frame(FrameKind),
    /// Tables or settings.
    Tables(TableKind),
    /// The header of a scan; its data follow.
    Scan,
    /// A segment of no interest; it has been passed over.
    Skipped,
    /// The end of the picture.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Sequential,
    Progressive,
}

pub(super) enum TableKind {
    Quantisation,
    Huffman,
    RestartInterval,
    App0,
    App14,
}

/// The frame header: the picture's size and its components.
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1, 3 or 4 of them.
    pub(super) components: Vec<Component>,
    /// Largest sampling factors.
    pub(super) max_h: usize,
    pub(super) max_v: usize,
}

pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1..=4.
    pub(super) h: usize,
    pub(super) v: usize,
    pub(super) quantisation: usize,
}

impl Frame {
    /// Size in samples of a component that has sampling factors `h`, `v`.
    pub(super) fn plane_size(&self, h: usize, v: usize) -> (usize, usize) {
        (
            (self.width * h).div_ceil(self.max_h),
            (self.height * v).div_ceil(self.max_v),
        )
    }

    /// Number of interleaved units across and down.
    pub(super) fn n_units(&self) -> (usize, usize) {
        (
            self.width.div_ceil(8 * self.max_h),
            self.height.div_ceil(8 * self.max_v),
        )
    }
}

/// The header of a scan.
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// First and last coefficient, and the bit positions of successive approximation.
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) high_bit: u32,
    pub(super) low_bit: u32,
}

pub(super) struct ScanComponent {
    /// Index into the frame's components.
    pub(super) index: usize,
    pub(super) dc_table: usize,
    pub(super) ac_table: usize,
}

/// Everything that segments define and later ones may redefine.
#[derive(Default)]
pub(super) struct Tables {
    /// In row-major order.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<HuffmanTable>; 4],
    pub(super) ac: [Option<HuffmanTable>; 4],
    /// Interleaved units between restart markers; 0 for none.
    pub(super) restart_interval: usize,
    pub(super) has_jfif: bool,
    /// The colour transform that Adobe's segment names.
    pub(super) adobe_transform: Option<u8>,
}

/// The bytes of a file and a position in it.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        // Behind the start marker.
        Reader { bytes, at: 2 }
    }

    fn u8(&mut self) -> Result<u8, Error> {
        let byte = self.bytes.get(self.at).ok_or_else(ends_early)?;
        self.at += 1;
        Ok(*byte)
    }

    /// Goes to the next marker and past it. Bytes in between are skipped, as libjpeg does.
    pub(super) fn next_marker(&mut self) -> Result<Marker, Error> {
        let code = loop {
            if self.u8()? != 0xff {
                continue;
            }
            let mut code = self.u8()?;
            while code == 0xff {
                code = self.u8()?;
            }
            if code != 0 {
                break code;
            }
        };
        Ok(match code {
            0xc0 | 0xc1 => Marker::Frame(FrameKind::Sequential),
            0xc2 => Marker::Frame(FrameKind::Progressive),
            0xc4 => Marker::Tables(TableKind::Huffman),
            0xc3 | 0xcb => return Err(unsupported("lossless coding")),
            0xc5..=0xc7 | 0xcd..=0xcf => return Err(unsupported("hierarchical coding")),
            0xc8..=0xca | 0xcc => return Err(unsupported("arithmetic coding")),
            0xd9 => Marker::End,
            0xda => Marker::Scan,
            0xdb => Marker::Tables(TableKind::Quantisation),
            0xdd => Marker::Tables(TableKind::RestartInterval),
            0xe0 => Marker::Tables(TableKind::App0),
            0xee => Marker::Tables(TableKind::App14),
            // Markers without a segment.
            0x01 | 0xd0..=0xd7 => Marker::Skipped,
            0xd8 => return Err(damaged("a second picture starts inside it")),
            _ => {
                self.segment()?;
                Marker::Skipped
            }
        })
    }

    /// The payload of the segment at the position, which moves behind it.
    fn segment(&mut self) -> Result<&'a [u8], Error> {
        let n_bytes = usize::from(self.u8()?) << 8 | usize::from(self.u8()?);
        let end = self.at
            + n_bytes
                .checked_sub(2)
                .ok_or_else(|| bad_segment("a segment"))?;
        let payload = self.bytes.get(self.at..end).ok_or_else(ends_early)?;
        self.at = end;
        Ok(payload)
    }

    pub(super) fn frame_header(&mut self, kind: FrameKind) -> Result<Frame, Error> {
        let payload = self.segment()?;
        let &[precision, h1, h0, w1, w0, n_components, ref rest @ ..] = payload else {
            return Err(bad_segment("the frame header"));
        };
        if precision != 8 {
            return Err(unsupported(format!("{precision} bits a sample")));
        }
        if !matches!(n_components, 1 | 3 | 4) {
            return Err(unsupported(format!("{n_components} components")));
        }
        if rest.len() != usize::from(n_components) * 3 {
            return Err(bad_segment("the frame header"));
        }
        let components: Vec<Component> = rest
            .chunks_exact(3)
            .map(|entry| Component {
                id: entry[0],
                h: usize::from(entry[1] >> 4),
                v: usize::from(entry[1] & 15),
                quantisation: usize::from(entry[2]),
            })
            .collect();
        let in_range = |component: &Component| {
            (1..=4).contains(&component.h)
                && (1..=4).contains(&component.v)
                && component.quantisation < 4
        };
        if !components.iter().all(in_range) {
            return Err(bad_segment("the frame header"));
        }
        let max_h = components
            .iter()
            .map(|component| component.h)
            .max()
            .unwrap_or(1);
        let max_v = components
            .iter()
            .map(|component| component.v)
            .max()
            .unwrap_or(1);
        if components
            .iter()
            .any(|c| max_h % c.h != 0 || max_v % c.v != 0)
        {
            return Err(unsupported("fractional sampling factors"));
        }
        Ok(Frame {
            kind,
            width: usize::from(u16::from_be_bytes([w1, w0])),
            height: usize::from(u16::from_be_bytes([h1, h0])),
            components,
            max_h,
            max_v,
        })
    }

    pub(super) fn scan_header(&mut self, frame: &Frame) -> Result<Scan, Error> {
        let bad = || bad_segment("a scan header");
        let payload = self.segment()?;
        let (&n_components, rest) = payload.split_first().ok_or_else(bad)?;
        let n_components = usize::from(n_components);
        if !(1..=frame.components.len()).contains(&n_components)
            || rest.len() != n_components * 2 + 3
        {
            return Err(bad());
        }
        let (entries, spectrum) = rest.split_at(n_components * 2);
        let mut components: Vec<ScanComponent> = Vec::with_capacity(n_components);
        for entry in entries.chunks_exact(2) {
            let is_new =
                |index: &usize| components.iter().all(|component| component.index != *index);
            let index = (0..frame.components.len())
                .filter(|index| frame.components[*index].id == entry[0])
                .find(is_new)
                .ok_or_else(bad)?;
            let (dc_table, ac_table) = (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
            if dc_table > 3 || ac_table > 3 {
                return Err(bad());
            }
            components.push(ScanComponent {
                index,
                dc_table,
                ac_table,
            });
        }
        if n_components > 1 {
            let n_blocks: usize = components
                .iter()
                .map(|component| {
                    frame.components[component.index].h * frame.components[component.index].v
                })
                .sum();
            if n_blocks > 10 {
                return Err(damaged("an interleaved unit has more than 10 blocks"));
            }
        }
        let (first, last) = (usize::from(spectrum[0]), usize::from(spectrum[1]));
        let (high_bit, low_bit) = (u32::from(spectrum[2] >> 4), u32::from(spectrum[2] & 15));
        let scan = match frame.kind {
            // What a sequential scan says here is ignored, as in libjpeg.
            FrameKind::Sequential => Scan {
                components,
                first: 0,
                last: 63,
                high_bit: 0,
                low_bit: 0,
            },
            FrameKind::Progressive => Scan {
                components,
                first,
                last,
                high_bit,
                low_bit,
            },
        };
        if frame.kind == FrameKind::Progressive {
            let range_fits = match first {
                0 => last == 0,
                _ => first <= last && last <= 63 && n_components == 1,
            };
            let bits_fit = low_bit <= 13 && (high_bit == 0 || high_bit == low_bit + 1);
            if !(range_fits && bits_fit) {
                return Err(bad());
            }
        }
        Ok(scan)
    }

    pub(super) fn tables(&mut self, kind: TableKind, tables: &mut Tables) -> Result<(), Error> {
        let mut payload = self.segment()?;
        match kind {
            TableKind::Quantisation => {
                while let Some((&head, rest)) = payload.split_first() {
                    payload = quantisation_table(head, rest, tables)?;
                }
            }
            TableKind::Huffman => {
                while let Some((&head, rest)) = payload.split_first() {
                    payload = huffman_table(head, rest, tables)?;
                }
            }
            TableKind::RestartInterval => {
                let &[high, low] = payload else {
                    return Err(bad_segment("the restart interval"));
                };
                tables.restart_interval = usize::from(u16::from_be_bytes([high, low]));
            }
            TableKind::App0 => {
                tables.has_jfif |= payload.starts_with(b"JFIF\0") && payload.len() >= 14
            }
            TableKind::App14 => {
                if payload.starts_with(b"Adobe") && payload.len() >= 12 {
                    tables.adobe_transform = Some(payload[11]);
                }
            }
        }
        Ok(())
    }
}

fn quantisation_table<'a>(
    head: u8,
    rest: &'a [u8],
    tables: &mut Tables,
) -> Result<&'a [u8], Error> {
    let bad = || bad_segment("a quantisation table");
    let wide = match head >> 4 {
        0 => 1,
        1 => 2,
        _ => return Err(bad()),
    };
    let slot = tables
        .quantisation
        .get_mut(usize::from(head & 15))
        .ok_or_else(bad)?;
    let entries = rest.get(..64 * wide).ok_or_else(bad)?;
    let mut table = [0; 64];
    for (entry, at) in entries.chunks_exact(wide).zip(ZIGZAG) {
        table[at] = entry
            .iter()
            .fold(0, |value, byte| value << 8 | u16::from(*byte));
    }
    *slot = Some(table);
    Ok(&rest[64 * wide..])
}

fn huffman_table<'a>(head: u8, rest: &'a [u8], tables: &mut Tables) -> Result<&'a [u8], Error> {
    let bad = || bad_segment("a Huffman table");
    let is_dc = match head >> 4 {
        0 => true,
        1 => false,
        _ => return Err(bad()),
    };
    let slots = if is_dc {
        &mut tables.dc
    } else {
        &mut tables.ac
    };
    let slot = slots.get_mut(usize::from(head & 15)).ok_or_else(bad)?;
    let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(bad)?;
    let n_values = counts.iter().map(|count| usize::from(*count)).sum();
    let values = rest.get(..n_values).ok_or_else(bad)?;
    if is_dc && values.iter().any(|bits| *bits > 15) {
        return Err(bad());
    }
    *slot = Some(HuffmanTable::new(counts, values).ok_or_else(bad)?);
    Ok(&rest[n_values..])
}

pub(super) fn ends_early() -> Error {
    damaged("the file ends before the picture does")
}

fn bad_segment(what: &str) -> Error {
    damaged(format!("{what} is malformed"))
}
