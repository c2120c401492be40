//! What the model sees of a picture; see `edge-face.ts`.

use js_sys::{Float32Array, Uint8Array, Uint8ClampedArray};
use wasm_bindgen::prelude::*;

use crate::image::{self, Limits, Preprocessor, RgbImage};
use crate::js::{field, misuse, object};

use super::{thrown, to_json};

/// The published model's settings, for which nothing has to be loaded.
const PUBLISHED: Preprocessor = Preprocessor {
    patch_size: 14,
    merge_size: 2,
    temporal_patch_size: 2,
    min_pixels: 3_136,
    max_pixels: 602_112,
    image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    image_std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

/// A model's picture settings.
#[wasm_bindgen]
pub struct ImagePreprocessor(Preprocessor);

#[wasm_bindgen]
impl ImagePreprocessor {
    #[wasm_bindgen(constructor)]
    pub fn new(settings: JsValue) -> Result<ImagePreprocessor, JsValue> {
        let mut read = PUBLISHED;
        let json = to_json(&settings)?;
        for (name, value) in json.as_object().into_iter().flatten() {
            let bad = || {
                misuse(format_args!(
                    "`{name}` is no setting, or no number that it could be: {value}"
                ))
            };
            let size = || {
                value
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok())
                    .ok_or_else(bad)
            };
            let triple = || {
                let [a, b, c] = &value.as_array()?[..] else {
                    return None;
                };
                Some([a.as_f64()? as f32, b.as_f64()? as f32, c.as_f64()? as f32])
            };
            match name.as_str() {
                "patchSize" => read.patch_size = size()?,
                "mergeSize" => read.merge_size = size()?,
                "temporalPatchSize" => read.temporal_patch_size = size()?,
                "minPixels" => read.min_pixels = size()?,
                "maxPixels" => read.max_pixels = size()?,
                "imageMean" => read.image_mean = triple().ok_or_else(bad)?,
                "imageStd" => read.image_std = triple().ok_or_else(bad)?,
                _ => return Err(bad()),
            }
        }
        read.check().map_err(thrown)?;
        Ok(ImagePreprocessor(read))
    }

    pub fn from_config_json(bytes: &[u8]) -> Result<ImagePreprocessor, JsValue> {
        Preprocessor::from_config_json(bytes)
            .map(ImagePreprocessor)
            .map_err(thrown)
    }

    pub fn size(
        &self,
        width: usize,
        height: usize,
        max_pixels: Option<usize>,
    ) -> Result<JsValue, JsValue> {
        let settings = &self.0;
        let max_pixels = max_pixels.unwrap_or(settings.max_pixels);
        let (height, width) = settings
            .smart_resize_to(height, width, max_pixels)
            .map_err(thrown)?;
        let token = settings.patch_size * settings.merge_size;
        let (rows, columns) = (height / token, width / token);
        let number = |n: usize| JsValue::from(n as f64);
        Ok(object(&[
            ("width", number(width)),
            ("height", number(height)),
            ("rows", number(rows)),
            ("columns", number(columns)),
            ("tokens", number(rows * columns)),
        ]))
    }

    pub fn resize(&self, picture: JsValue, max_pixels: Option<usize>) -> Result<JsValue, JsValue> {
        let resized = self
            .0
            .resized(&read_picture(&picture)?, max_pixels)
            .map_err(thrown)?;
        Ok(pixels(&resized))
    }

    pub fn patches(&self, picture: JsValue, max_pixels: Option<usize>) -> Result<JsValue, JsValue> {
        let patches = self
            .0
            .patches(&read_picture(&picture)?, max_pixels)
            .map_err(thrown)?;
        Ok(object(&[
            ("values", Float32Array::from(&patches.values[..]).into()),
            ("rows", (patches.n_rows as f64).into()),
            ("columns", (patches.n_cols as f64).into()),
        ]))
    }
}

#[wasm_bindgen]
pub fn decode_image(bytes: &[u8]) -> Result<JsValue, JsValue> {
    image::decode(bytes, &Limits::default())
        .map(|image| pixels(&image))
        .map_err(thrown)
}

/// The bytes of a file, or `{width, height, rgba}`.
fn read_picture(picture: &JsValue) -> Result<RgbImage, JsValue> {
    if let Some(bytes) = picture.dyn_ref::<Uint8Array>() {
        return image::decode(&bytes.to_vec(), &Limits::default()).map_err(thrown);
    }
    let rgba = field(picture, "rgba");
    let bytes = match (
        rgba.dyn_ref::<Uint8ClampedArray>(),
        rgba.dyn_ref::<Uint8Array>(),
    ) {
        (Some(bytes), _) => bytes.to_vec(),
        (_, Some(bytes)) => bytes.to_vec(),
        _ => {
            return Err(misuse(
                "a picture needs bytes, or `rgba` in a Uint8Array or Uint8ClampedArray",
            ));
        }
    };
    let side = |name| field(picture, name).as_f64().unwrap_or(0.0) as usize;
    let (width, height) = (side("width"), side("height"));
    Limits::default().check(width, height).map_err(thrown)?;
    RgbImage::from_rgba(width, height, &bytes).map_err(thrown)
}

/// `{width, height, rgba}`
fn pixels(image: &RgbImage) -> JsValue {
    let rgba: Vec<u8> = image
        .pixels()
        .chunks_exact(3)
        .flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255])
        .collect();
    // Made of a copy: the memory of a module cannot be handed out.
    let rgba = Uint8ClampedArray::new(&Uint8Array::from(&rgba[..]).buffer());
    object(&[
        ("width", (image.width() as f64).into()),
        ("height", (image.height() as f64).into()),
        ("rgba", rgba.into()),
    ])
}
