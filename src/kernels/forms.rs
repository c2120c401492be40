//! Which form of each operation a graphics device runs, and the forms there are to choose from.

use std::{fmt, str::FromStr};

/// How a product is cut into invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// In registers: rows and pairs of columns of an invocation; invocations side by side; lanes
    /// along K.
    Registers {
        rows: u32,
        pairs: u32,
        width: u32,
        lanes: u32,
    },
    /// In workgroup memory: rows of an invocation, of which a workgroup has eight times as many.
    /// Decoded weights lie there in halves where `half` is set, which wants `shader-f16`; sums are
    /// in f32 all the same.
    Tiles { rows: u32, half: bool },
}

/// Where attention keeps its keys and values while it multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    Registers,
    Tiles,
}

/// A form of each operation on a graphics device.
///
/// As text, which [`FromStr`] reads again, it can be kept: `registers-8x1x8x8,…,attention-tiles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forms {
    /// By rows of x; see [`CLASSES`].
    pub(crate) products: [Cut; N_CLASSES],
    pub(crate) attention: Attention,
    /// Invocations that normalise a row.
    pub(crate) norm_width: u32,
}

/// Classes of products by their rows of x.
pub const N_CLASSES: usize = 5;

/// Most rows of x of each class of products.
pub const CLASSES: [usize; N_CLASSES] = [4, 8, 16, 32, usize::MAX];

/// Products from this many weights on are worth a shader that compiles for a second.
const LARGE: usize = 1 << 20;

const fn registers(rows: u32, pairs: u32, lanes: u32) -> Cut {
    Cut::Registers {
        rows,
        pairs,
        width: 8,
        lanes,
    }
}

const fn tiles(rows: u32) -> Cut {
    Cut::Tiles { rows, half: false }
}

const fn half_tiles(rows: u32) -> Cut {
    Cut::Tiles { rows, half: true }
}

/// The cuts of each class that are worth measuring; few, since each is a shader to compile.
const CANDIDATES: [&[Cut]; N_CLASSES] = [
    &[registers(4, 2, 16), registers(4, 2, 8), registers(4, 8, 1)],
    &[registers(4, 2, 16), registers(8, 1, 8), registers(8, 8, 1)],
    &[registers(8, 1, 16), registers(4, 2, 8), registers(8, 8, 1)],
    &[
        registers(8, 2, 8),
        tiles(4),
        half_tiles(4),
        registers(8, 8, 1),
    ],
    &[tiles(8), half_tiles(8), tiles(4), registers(8, 8, 1)],
];

impl Forms {
    /// For graphics cards: few rows leave too few outputs to fill one, so lanes share each; many
    /// rows share weights in workgroup memory.
    pub const TILED: Self = Self {
        products: [
            registers(4, 2, 16),
            registers(4, 2, 16),
            registers(8, 1, 16),
            registers(8, 2, 8),
            tiles(8),
        ],
        attention: Attention::Tiles,
        norm_width: 256,
    };

    /// For processors that play a graphics card: loads cost more than arithmetic, so as many
    /// columns as registers hold; a barrier costs more than the memory it saves.
    pub const DIRECT: Self = Self {
        products: [
            registers(4, 8, 1),
            registers(8, 8, 1),
            registers(8, 8, 1),
            registers(8, 8, 1),
            registers(8, 8, 1),
        ],
        attention: Attention::Registers,
        norm_width: 64,
    };

    /// The class of products with `m` rows of x.
    pub(crate) fn class(m: usize) -> usize {
        CLASSES.iter().position(|most| m <= *most).unwrap_or(0)
    }

    /// The cut for `m` rows of x and so many weights.
    pub(crate) fn product(&self, m: usize, n_weights: usize) -> Cut {
        match self.products[Self::class(m)] {
            Cut::Registers { rows, pairs, .. } if rows * pairs > 16 && n_weights < LARGE => {
                registers(4, 2, 1)
            }
            cut => cut,
        }
    }

    /// The cuts worth measuring for a class, on a device with or without `shader-f16`.
    pub(crate) fn candidates(class: usize, shader_f16: bool) -> impl Iterator<Item = Cut> {
        let cuts = CANDIDATES[class].iter().copied();
        cuts.filter(move |cut| shader_f16 || !cut.wants_f16())
    }

    /// The same with another cut for a class of products.
    pub(crate) fn with_product(mut self, class: usize, cut: Cut) -> Self {
        self.products[class] = cut;
        self
    }

    /// The same with another form of attention.
    pub(crate) fn with_attention(mut self, attention: Attention) -> Self {
        self.attention = attention;
        self
    }

    /// Whether any of them wants the device's `shader-f16`.
    pub fn wants_f16(&self) -> bool {
        self.products.iter().any(Cut::wants_f16)
    }
}

impl Cut {
    fn wants_f16(&self) -> bool {
        matches!(self, Cut::Tiles { half: true, .. })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Cut::Registers {
                rows,
                pairs,
                width,
                lanes,
            } => write!(f, "registers-{rows}x{pairs}x{width}x{lanes}"),
            Cut::Tiles { rows, half } => {
                write!(f, "tiles-{rows}{}", if *half { "-f16" } else { "" })
            }
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Attention::Registers => "attention-registers",
            Attention::Tiles => "attention-tiles",
        })
    }
}

impl fmt::Display for Forms {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for cut in self.products {
            write!(f, "{cut},")?;
        }
        write!(f, "{},norm-{}", self.attention, self.norm_width)
    }
}

/// The text names no choice of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownForms;

impl fmt::Display for UnknownForms {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("not a choice of kernels that this version knows")
    }
}

impl std::error::Error for UnknownForms {}

impl FromStr for Forms {
    type Err = UnknownForms;

    /// Only what could have been chosen: kept text may be old, or anybody's.
    fn from_str(text: &str) -> Result<Self, UnknownForms> {
        let mut words = text.split(',');
        let mut forms = Self::TILED;
        for (class, product) in forms.products.iter_mut().enumerate() {
            let word = words.next().ok_or(UnknownForms)?;
            let mut known = Self::candidates(class, true);
            *product = known
                .find(|cut| cut.to_string() == word)
                .ok_or(UnknownForms)?;
        }
        let word = words.next().ok_or(UnknownForms)?;
        let mut known = [Attention::Registers, Attention::Tiles].into_iter();
        forms.attention = known
            .find(|form| form.to_string() == word)
            .ok_or(UnknownForms)?;
        forms.norm_width = match words.next() {
            Some("norm-64") => 64,
            Some("norm-256") => 256,
            _ => return Err(UnknownForms),
        };
        words.next().is_none().then_some(forms).ok_or(UnknownForms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_being_kept_as_text() {
        let mut half = Forms::TILED;
        half.products[4] = half_tiles(8);
        for forms in [Forms::TILED, Forms::DIRECT, half] {
            assert_eq!(forms.to_string().parse(), Ok(forms));
        }
    }

    #[test]
    fn text_that_names_no_choice_is_refused() {
        let known = Forms::TILED.to_string();
        for text in [
            "",
            "tiled",
            &known[1..],
            &known[..known.len() - 1],
            &format!("{known},"),
            &known.replace("registers-8x1", "registers-8x100"),
            &known.replace("tiles-8", "tiles-4-f16"),
        ] {
            assert_eq!(text.parse::<Forms>(), Err(UnknownForms), "{text}");
        }
    }

    #[test]
    fn both_fixed_choices_are_among_the_candidates() {
        for forms in [Forms::TILED, Forms::DIRECT] {
            for (class, cut) in forms.products.into_iter().enumerate() {
                assert!(Forms::candidates(class, false).any(|known| known == cut));
            }
        }
    }

    #[test]
    fn halves_are_offered_only_where_the_adapter_has_them() {
        let with: usize = (0..5)
            .map(|class| Forms::candidates(class, true).count())
            .sum();
        let without: usize = (0..5)
            .map(|class| Forms::candidates(class, false).count())
            .sum();
        assert_eq!(with - without, 2);
        assert!(!Forms::TILED.wants_f16());
    }
}
