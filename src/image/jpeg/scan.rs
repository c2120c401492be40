//! The Huffman-coded data of scans.
//!
//! A sequential scan holds whole blocks, so each is transformed as soon as it is read. A progressive
//! file spreads a block over many scans; its coefficients are kept until the file ends.

use super::header::{Component, Frame, FrameKind, Reader, Scan, ScanComponent, Tables, ZIGZAG};
use super::huffman::{BitReader, HuffmanTable};
use super::{Error, damaged, idct};
use crate::image::rgb::byte_buffer;

/// The picture while its scans are read.
pub(super) struct Planes {
    pub(super) frame: Frame,
    planes: Vec<UnfinishedPlane>,
}

/// One component while its scans are read.
struct UnfinishedPlane {
    /// Size of the storage in blocks: whole interleaved units.
    blocks_wide: usize,
    blocks_high: usize,
    /// `[blocks_high * 8, blocks_wide * 8]`; empty until the end of a progressive file.
    samples: Vec<u8>,
    /// `[blocks_high, blocks_wide]` blocks in row-major order; empty in a sequential file.
    coefficients: Vec<[i16; 64]>,
    /// The table in force at the component's first scan.
    quantisation: Option<[u16; 64]>,
}

/// A decoded component.
pub(super) struct Plane {
    /// Sampling factors relative to the picture: samples of the picture per sample of the plane.
    pub(super) h_expand: usize,
    pub(super) v_expand: usize,
    /// Samples that count.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples a row.
    pub(super) stride: usize,
    pub(super) samples: Vec<u8>,
}

/// All components of a decoded picture.
pub(super) struct DecodedPlanes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) planes: Vec<Plane>,
}

impl Planes {
    pub(super) fn new(frame: Frame) -> Result<Planes, Error> {
        let (units_wide, units_high) = frame.n_units();
        let planes = frame.components.iter().map(|&Component { h, v, .. }| {
            let (blocks_wide, blocks_high) = (units_wide * h, units_high * v);
            let n_blocks = blocks_wide * blocks_high;
            let (samples, coefficients) = match frame.kind {
                FrameKind::Sequential => (byte_buffer(n_blocks * 64)?, Vec::new()),
                FrameKind::Progressive => (Vec::new(), block_buffer(n_blocks)?),
            };
            Ok(UnfinishedPlane {
                blocks_wide,
                blocks_high,
                samples,
                coefficients,
                quantisation: None,
            })
        });
        let planes = planes.collect::<Result<_, Error>>()?;
        Ok(Planes { frame, planes })
    }

    /// Reads the data of one scan; the reader moves to the marker behind them.
    pub(super) fn read_scan(
        &mut self,
        scan: &Scan,
        tables: &Tables,
        reader: &mut Reader,
    ) -> Result<(), Error> {
        for component in &scan.components {
            let plane = &mut self.planes[component.index];
            if plane.quantisation.is_none() {
                let table =
                    tables.quantisation[self.frame.components[component.index].quantisation];
                plane.quantisation = Some(table.ok_or_else(|| missing("quantisation"))?);
            }
        }
        let mut state = State {
            bits: BitReader::new(reader),
            predictions: [0; 4],
            end_of_band_run: 0,
        };
        let coder = Coder {
            kind: self.frame.kind,
            scan,
            tables,
        };
        let mut until_restart = tables.restart_interval;
        let mut before_unit = |state: &mut State| -> Result<(), Error> {
            if tables.restart_interval > 0 {
                if until_restart == 0 {
                    state.bits.restart()?;
                    state.predictions = [0; 4];
                    state.end_of_band_run = 0;
                    until_restart = tables.restart_interval;
                }
                until_restart -= 1;
            }
            Ok(())
        };

        if let [component] = scan.components.as_slice() {
            // One component alone: its own blocks, row by row, without those that only fill units.
            let Component { h, v, .. } = self.frame.components[component.index];
            let (width, height) = self.frame.plane_size(h, v);
            for row in 0..height.div_ceil(8) {
                for column in 0..width.div_ceil(8) {
                    before_unit(&mut state)?;
                    let plane = &mut self.planes[component.index];
                    coder.read_block(&mut state, component, plane, row, column)?;
                }
            }
        } else {
            let (units_wide, units_high) = self.frame.n_units();
            for unit_row in 0..units_high {
                for unit_column in 0..units_wide {
                    before_unit(&mut state)?;
                    for component in &scan.components {
                        let Component { h, v, .. } = self.frame.components[component.index];
                        let plane = &mut self.planes[component.index];
                        for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                            let (row, column) = (unit_row * v + y, unit_column * h + x);
                            coder.read_block(&mut state, component, plane, row, column)?;
                        }
                    }
                }
            }
        }
        reader.at = state.bits.position();
        Ok(())
    }

    /// Transforms what is not transformed yet.
    ///
    /// Fails when a component was in no scan.
    pub(super) fn finish(self) -> Result<DecodedPlanes, Error> {
        let Planes { frame, planes } = self;
        let finished = planes
            .into_iter()
            .zip(&frame.components)
            .map(|(mut plane, component)| {
                let quantisation = plane
                    .quantisation
                    .ok_or_else(|| damaged("a component is in no scan"))?;
                let stride = plane.blocks_wide * 8;
                if frame.kind == FrameKind::Progressive {
                    plane.samples = byte_buffer(plane.blocks_high * 8 * stride)?;
                    let coefficients = std::mem::take(&mut plane.coefficients);
                    for (at, block) in coefficients.iter().enumerate() {
                        let (row, column) = (at / plane.blocks_wide, at % plane.blocks_wide);
                        let out = &mut plane.samples[row * 8 * stride + column * 8..];
                        idct::inverse(block, &quantisation, out, stride);
                    }
                }
                let (width, height) = frame.plane_size(component.h, component.v);
                Ok(Plane {
                    h_expand: frame.max_h / component.h,
                    v_expand: frame.max_v / component.v,
                    width,
                    height,
                    stride,
                    samples: plane.samples,
                })
            });
        let planes = finished.collect::<Result<_, Error>>()?;
        Ok(DecodedPlanes {
            width: frame.width,
            height: frame.height,
            planes,
        })
    }
}

/// What changes while a scan is read.
struct State<'a> {
    bits: BitReader<'a>,
    /// The last DC value of each component of the frame.
    predictions: [i32; 4],
    /// Blocks that still follow without a new coefficient.
    end_of_band_run: u32,
}

/// What stays the same while a scan is read.
struct Coder<'a> {
    kind: FrameKind,
    scan: &'a Scan,
    tables: &'a Tables,
}

impl Coder<'_> {
    fn read_block(
        &self,
        state: &mut State,
        component: &ScanComponent,
        plane: &mut UnfinishedPlane,
        row: usize,
        column: usize,
    ) -> Result<(), Error> {
        match self.kind {
            FrameKind::Sequential => {
                let mut block = [0; 64];
                self.dc(state, component, &mut block)?;
                self.ac(state, component, &mut block)?;
                let stride = plane.blocks_wide * 8;
                let out = &mut plane.samples[row * 8 * stride + column * 8..];
                if let Some(quantisation) = &plane.quantisation {
                    idct::inverse(&block, quantisation, out, stride);
                }
                Ok(())
            }
            FrameKind::Progressive => {
                let block = &mut plane.coefficients[row * plane.blocks_wide + column];
                match (self.scan.first, self.scan.high_bit) {
                    (0, 0) => self.dc(state, component, block),
                    (0, _) => {
                        block[0] |= (state.bits.take(1)? as i16) << self.scan.low_bit;
                        Ok(())
                    }
                    (_, 0) => self.ac(state, component, block),
                    (_, _) => self.refine_ac(state, component, block),
                }
            }
        }
    }

    fn dc(
        &self,
        state: &mut State,
        component: &ScanComponent,
        block: &mut [i16; 64],
    ) -> Result<(), Error> {
        let table = table(&self.tables.dc, component.dc_table)?;
        let n_bits = u32::from(state.bits.decode(table)?);
        let prediction = &mut state.predictions[component.index];
        *prediction = prediction.wrapping_add(state.bits.take_signed(n_bits)?);
        block[0] = (*prediction << self.scan.low_bit) as i16;
        Ok(())
    }

    /// The AC coefficients of a sequential block, or the first bits of those of a progressive one.
    fn ac(
        &self,
        state: &mut State,
        component: &ScanComponent,
        block: &mut [i16; 64],
    ) -> Result<(), Error> {
        if state.end_of_band_run > 0 {
            state.end_of_band_run -= 1;
            return Ok(());
        }
        let table = table(&self.tables.ac, component.ac_table)?;
        let mut k = self.scan.first.max(1);
        while k <= self.scan.last {
            let code = state.bits.decode(table)?;
            let (run, n_bits) = (usize::from(code >> 4), u32::from(code & 15));
            if n_bits == 0 {
                match (run, self.kind) {
                    (15, _) => k += 16,
                    (_, FrameKind::Sequential) => break,
                    (_, FrameKind::Progressive) => {
                        state.end_of_band_run = end_of_band_run(&mut state.bits, run)? - 1;
                        break;
                    }
                }
                continue;
            }
            k += run;
            let value = state.bits.take_signed(n_bits)?;
            let at = *ZIGZAG
                .get(k)
                .ok_or_else(|| damaged("a block has more than 64 coefficients"))?;
            block[at] = (value << self.scan.low_bit) as i16;
            k += 1;
        }
        Ok(())
    }

    /// One more bit for the AC coefficients: for those that are not zero, and for those that become so.
    fn refine_ac(
        &self,
        state: &mut State,
        component: &ScanComponent,
        block: &mut [i16; 64],
    ) -> Result<(), Error> {
        let table = table(&self.tables.ac, component.ac_table)?;
        let one = 1_i16 << self.scan.low_bit;
        let mut k = self.scan.first;
        if state.end_of_band_run == 0 {
            while k <= self.scan.last {
                let code = state.bits.decode(table)?;
                let (mut run, n_bits) = (usize::from(code >> 4), code & 15);
                let value = match n_bits {
                    0 if run < 15 => {
                        state.end_of_band_run = end_of_band_run(&mut state.bits, run)?;
                        break;
                    }
                    0 => 0,
                    1 => {
                        if state.bits.take(1)? == 1 {
                            one
                        } else {
                            -one
                        }
                    }
                    _ => return Err(damaged("a refinement adds more than one bit")),
                };
                // Goes past `run` coefficients that stay zero, refining the others on the way.
                while k <= self.scan.last {
                    let coefficient = &mut block[ZIGZAG[k]];
                    k += 1;
                    if *coefficient != 0 {
                        refine(&mut state.bits, coefficient, one)?;
                    } else if run > 0 {
                        run -= 1;
                    } else {
                        *coefficient = value;
                        break;
                    }
                }
            }
        }
        if state.end_of_band_run > 0 {
            // Empty when the band is full already.
            for at in ZIGZAG.get(k..=self.scan.last).unwrap_or_default() {
                if block[*at] != 0 {
                    refine(&mut state.bits, &mut block[*at], one)?;
                }
            }
            state.end_of_band_run -= 1;
        }
        Ok(())
    }
}

fn refine(bits: &mut BitReader, coefficient: &mut i16, one: i16) -> Result<(), Error> {
    if bits.take(1)? == 1 && *coefficient & one == 0 {
        let step = if *coefficient >= 0 { one } else { -one };
        *coefficient = coefficient.wrapping_add(step);
    }
    Ok(())
}

/// How many blocks, this one included, have no further new coefficient.
fn end_of_band_run(bits: &mut BitReader, n_bits: usize) -> Result<u32, Error> {
    Ok((1 << n_bits) + bits.take(n_bits as u32)?)
}

fn table(tables: &[Option<HuffmanTable>; 4], at: usize) -> Result<&HuffmanTable, Error> {
    tables[at].as_ref().ok_or_else(|| missing("Huffman"))
}

fn missing(kind: &str) -> Error {
    damaged(format!("a scan uses a {kind} table that is not defined"))
}

fn block_buffer(n_blocks: usize) -> Result<Vec<[i16; 64]>, Error> {
    let mut blocks = Vec::new();
    blocks
        .try_reserve_exact(n_blocks)
        .map_err(|_| Error::OutOfMemory {
            n_bytes: n_blocks as u64 * 128,
        })?;
    blocks.resize(n_blocks, [0; 64]);
    Ok(blocks)
}
