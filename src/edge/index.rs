//! The search index and the reader of its file; see `edge-face.ts`.

use js_sys::{Array, Float32Array, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::js::{field, misuse, object};
use crate::search::{self, InSpace, Index, Opened, Reader, Schema};

use super::items::{OwnedBatch, OwnedQuery, fields, filter, floats, strings};
use super::{from_json, thrown, to_json};

/// An index.
#[wasm_bindgen]
pub struct SearchIndex {
    inner: Index,
    opened: Option<Opened>,
}

#[wasm_bindgen]
impl SearchIndex {
    #[wasm_bindgen(constructor)]
    pub fn new(schema: JsValue) -> Result<SearchIndex, JsValue> {
        let schema = Schema::from_json(&to_json(&schema)?).map_err(thrown)?;
        let inner = Index::new(schema).map_err(thrown)?;
        Ok(SearchIndex {
            inner,
            opened: None,
        })
    }

    pub fn schema(&self) -> JsValue {
        from_json(&self.inner.schema().to_json())
    }

    pub fn stats(&self) -> JsValue {
        let index = &self.inner;
        let written = index.written();
        let [vectors, first_stage, multivectors, fields, ids] = index.n_bytes();
        let number = |n: usize| JsValue::from(n as f64);
        let opened = self.opened.as_ref().map_or(JsValue::NULL, |opened| {
            object(&[
                ("commits", (opened.n_commits as f64).into()),
                ("discardedBytes", (opened.discarded_bytes as f64).into()),
                (
                    "damage",
                    opened.damage.as_ref().map_or(JsValue::NULL, JsValue::from),
                ),
            ])
        });
        object(&[
            ("items", number(index.len())),
            ("rows", number(index.n_rows())),
            ("pending", number(index.n_pending())),
            ("generation", (written.generation as f64).into()),
            ("commits", (written.sequence as f64).into()),
            ("committedBytes", (written.n_bytes as f64).into()),
            (
                "wasmBytes",
                number(core::arch::wasm32::memory_size(0) * 65_536),
            ),
            (
                "bytes",
                object(&[
                    ("vectors", number(vectors)),
                    ("firstStage", number(first_stage)),
                    ("multivectors", number(multivectors)),
                    ("fields", number(fields)),
                    ("ids", number(ids)),
                    (
                        "total",
                        number(vectors + first_stage + multivectors + fields + ids),
                    ),
                ]),
            ),
            ("opened", opened),
        ])
    }

    pub fn add(&mut self, batch: JsValue) -> Result<usize, JsValue> {
        OwnedBatch::read(&batch)?.with(|batch| self.inner.add(batch))
    }

    pub fn upsert(&mut self, batch: JsValue) -> Result<JsValue, JsValue> {
        let done = OwnedBatch::read(&batch)?.with(|batch| self.inner.upsert(batch))?;
        let (added, replaced) = (done.added as f64, done.replaced as f64);
        Ok(object(&[
            ("added", added.into()),
            ("replaced", replaced.into()),
        ]))
    }

    pub fn set_fields(&mut self, ids: JsValue, values: JsValue) -> Result<usize, JsValue> {
        let ids = strings(&ids, "ids")?;
        let values = fields(&values)?.ok_or_else(|| misuse("`fields` needs a list"))?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.inner.set_fields(&ids, &values).map_err(thrown)
    }

    pub fn remove(&mut self, ids: JsValue) -> Result<usize, JsValue> {
        let ids = strings(&ids, "ids")?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok(self.inner.remove(&ids))
    }

    pub fn remove_where(&mut self, condition: JsValue) -> Result<usize, JsValue> {
        let condition = filter(&condition)?.ok_or_else(|| misuse("a filter is needed"))?;
        self.inner.remove_where(&condition).map_err(thrown)
    }

    pub fn has(&self, id: &str) -> bool {
        self.inner.contains(id)
    }

    pub fn get(&self, id: &str, vectors: Option<bool>) -> JsValue {
        let Some(fields) = self.inner.fields(id) else {
            return JsValue::UNDEFINED;
        };
        let mut parts = vec![
            ("id", id.into()),
            ("fields", from_json(&search::fields_to_json(fields))),
        ];
        if vectors == Some(true) {
            let vector = self.inner.vector(id);
            parts.extend(vector.map(|values| ("vector", Float32Array::from(values).into())));
            let tokens = self.inner.multivector(id);
            parts.extend(
                tokens.map(|values| ("multivector", Float32Array::from(&values[..]).into())),
            );
        }
        object(&parts)
    }

    pub fn count(&self, condition: JsValue) -> Result<usize, JsValue> {
        match filter(&condition)? {
            None => Ok(self.inner.len()),
            condition => Ok(self
                .inner
                .ids_where(condition.as_ref())
                .map_err(thrown)?
                .len()),
        }
    }

    pub fn find(
        &self,
        condition: JsValue,
        offset: usize,
        limit: usize,
    ) -> Result<JsValue, JsValue> {
        let condition = filter(&condition)?;
        let ids = self.inner.ids_where(condition.as_ref()).map_err(thrown)?;
        let items = ids.into_iter().skip(offset).take(limit).map(|id| {
            let fields = self.inner.fields(id).unwrap_or_default();
            serde_json::json!({"id": id, "fields": search::fields_to_json(fields)})
        });
        Ok(from_json(&items.collect()))
    }

    pub fn vectors(&self, offset: usize, limit: usize) -> Result<JsValue, JsValue> {
        let ids = self.inner.ids_where(None).map_err(thrown)?;
        let ids: Vec<&str> = ids.into_iter().skip(offset).take(limit).collect();
        let dimensions = self
            .inner
            .schema()
            .single()
            .map_or(0, |space| space.dimensions);
        let values = Float32Array::new_with_length((ids.len() * dimensions) as u32);
        for (row, id) in ids.iter().enumerate() {
            let Some(vector) = self.inner.vector(id) else {
                continue;
            };
            let start = row * dimensions;
            values
                .subarray(start as u32, (start + dimensions) as u32)
                .copy_from(vector);
        }
        let ids: Array = ids.into_iter().map(JsValue::from).collect();
        Ok(object(&[("ids", ids.into()), ("values", values.into())]))
    }

    pub fn search(&self, query: JsValue) -> Result<Array, JsValue> {
        let query = OwnedQuery::read(&query)?;
        let hits = self.inner.search(&query.get()).map_err(thrown)?;
        let hits = hits.iter().map(|hit| {
            let mut parts = vec![
                ("id", hit.id().into()),
                ("score", f64::from(hit.score()).into()),
            ];
            if query.fields {
                parts.push(("fields", from_json(&search::fields_to_json(hit.fields()))));
            }
            object(&parts)
        });
        Ok(hits.collect())
    }

    pub fn token_scores(
        &self,
        id: &str,
        multivector: JsValue,
        space: &str,
    ) -> Result<JsValue, JsValue> {
        let values = floats(&multivector, "multivector")?.unwrap_or_default();
        let likeness = self
            .inner
            .token_likeness(
                id,
                InSpace {
                    values: &values,
                    space,
                },
            )
            .map_err(thrown)?;
        let (Some(likeness), Some(multi)) = (likeness, self.inner.schema().multi()) else {
            return Ok(JsValue::UNDEFINED);
        };
        // A query without tokens was refused.
        let rows = likeness.len() / (values.len() / multi.dimensions);
        let values = Float32Array::from(&likeness[..]).into();
        Ok(object(&[
            ("rows", (rows as f64).into()),
            ("values", values),
        ]))
    }

    pub fn commit(&mut self) -> Result<JsValue, JsValue> {
        let Some(append) = self.inner.commit().map_err(thrown)? else {
            return Ok(JsValue::UNDEFINED);
        };
        let bytes = Uint8Array::from(&append.bytes[..]).into();
        Ok(object(&[
            ("offset", (append.offset as f64).into()),
            ("bytes", bytes),
        ]))
    }

    pub fn confirm(&mut self) -> Result<(), JsValue> {
        self.inner.confirm().map_err(thrown)
    }

    pub fn abandon(&mut self) -> Result<(), JsValue> {
        self.inner.abandon().map_err(thrown)
    }

    pub fn begin_compaction(&mut self) -> Result<JsValue, JsValue> {
        let total = self.inner.begin_compaction().map_err(thrown)?;
        Ok(object(&[("totalBytes", (total as f64).into())]))
    }

    pub fn compaction_chunk(&mut self) -> Result<Option<Uint8Array>, JsValue> {
        let chunk = self.inner.compaction_chunk().map_err(thrown)?;
        Ok(chunk.map(|bytes| Uint8Array::from(&bytes[..])))
    }

    pub fn finish_compaction(&mut self, keep: bool) -> Result<(), JsValue> {
        self.inner.finish_compaction(keep).map_err(thrown)
    }
}

/// Opens the file of an index.
#[wasm_bindgen]
pub struct IndexReader(Reader);

#[wasm_bindgen]
impl IndexReader {
    #[wasm_bindgen(constructor)]
    pub fn new(options: JsValue) -> IndexReader {
        IndexReader(Reader::new(field(&options, "recover").is_truthy()))
    }

    pub fn push(&mut self, chunk: &[u8]) -> Result<(), JsValue> {
        self.0.push(chunk).map_err(thrown)
    }

    pub fn finish(self) -> Result<SearchIndex, JsValue> {
        let (inner, opened) = self.0.finish().map_err(thrown)?;
        Ok(SearchIndex {
            inner,
            opened: Some(opened),
        })
    }
}
