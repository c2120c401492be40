//! JPEG, bit for bit as libjpeg-turbo decodes it with its default settings (as Pillow calls it).
//!
//! The format leaves the inverse transform, the enlarging of the colour planes and the colour
//! matrix to the decoder, and decoders differ by several levels. An embedding should not depend on
//! that, and no decoder in Rust rounds as libjpeg does, so this one exists:
//!
//! 1. `header`: markers, tables, frame and scan headers.
//! 2. `scan`: Huffman-coded coefficients, sequential or progressive.
//! 3. `idct`: the accurate integer transform ("islow").
//! 4. `upsample`: the triangle filter ("fancy upsampling").
//! 5. `colour`: YCbCr, YCCK, CMYK, RGB or gray to RGB.
//!
//! Unlike libjpeg it never guesses: data that are missing or make no sense are an error. Not read:
//! arithmetic coding, lossless and hierarchical JPEG, 12 bits a sample. Not done: the smoothing that
//! libjpeg adds to a progressive file that ends before its last refinement.

mod colour;
mod header;
mod huffman;
mod idct;
mod scan;
mod upsample;

use self::header::{Marker, Reader, Scan, Tables};
use self::scan::Planes;
use super::{Error, Limits, RgbImage};

/// Enough for every real file, and an end to small files that ask for endless work.
const MAX_SCANS: usize = 500;

/// Decodes a whole file. The caller has seen the signature.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let mut reader = Reader::new(bytes);
    let mut tables = Tables::default();
    let mut planes: Option<Planes> = None;
    let mut n_scans = 0;
    loop {
        match reader.next_marker()? {
            Marker::Frame(kind) => {
                if planes.is_some() {
                    return Err(damaged("it has two frame headers"));
                }
                let frame = reader.frame_header(kind)?;
                limits.check(frame.width, frame.height)?;
                planes = Some(Planes::new(frame)?);
            }
            Marker::Tables(kind) => reader.tables(kind, &mut tables)?,
            Marker::Scan => {
                let planes = planes
                    .as_mut()
                    .ok_or_else(|| damaged("a scan precedes the frame header"))?;
                n_scans += 1;
                if n_scans > MAX_SCANS {
                    return Err(damaged("it has more than 500 scans"));
                }
                let scan: Scan = reader.scan_header(&planes.frame)?;
                planes.read_scan(&scan, &tables, &mut reader)?;
            }
            Marker::Skipped => {}
            Marker::End => break,
        }
    }
    let planes = planes.ok_or_else(|| damaged("it has no frame header"))?;
    let space = colour::Space::of(&planes.frame, &tables);
    let planes = planes.finish()?;
    colour::to_rgb(&planes, space)
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::Damaged {
        format: "JPEG",
        reason: reason.into(),
    }
}

fn unsupported(feature: impl Into<String>) -> Error {
    Error::Unsupported {
        format: "JPEG",
        feature: feature.into(),
    }
}
