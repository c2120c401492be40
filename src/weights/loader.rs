//! Puts the files of a model together, each fed in chunks, in any order but text parts in theirs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Device, Result,
    gguf::{self, Header, Metadata, TensorInfo},
    model::{Decoder, Projector, TextConfig, VisionTower},
    text::{Task, Tokenizer},
};

use super::{
    Error, adapters, metadata,
    stream::{Sink, Stream, Want},
    tables,
    tensors::{Source, Tensors},
    upload::{self, Upload},
};

/// What a file is to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The decoder with its tokeniser; may come in several parts.
    Text,
    /// The vision tower: an mmproj file.
    Vision,
    /// The multi-vector head with its adapters.
    Projector,
    /// The decoder's adapter for a task.
    Adapter(Task),
}

/// A model with all that its files said.
pub struct Loaded {
    pub decoder: Decoder,
    pub vision: Option<VisionTower>,
    pub projector: Option<Projector>,
    pub tokenizer: Tokenizer,
    /// Tasks that can be computed: those with an adapter or, in a merged file, the merged one.
    pub tasks: BTreeSet<Task>,
    /// `general.name` of the text file.
    pub name: Option<String>,
}

/// Collects files until they are a model.
pub struct Loader {
    current: Option<(Role, String, Stream)>,
    parts: Parts,
}

/// What was read so far.
struct Parts {
    device: Device,
    role: Role,
    file: String,
    /// Tensor under way.
    upload: Option<Upload>,
    /// What the current file holds, and the buffers that several of it share.
    infos: Vec<TensorInfo>,
    shared: upload::Shared,
    /// Names and shapes the current file's tensors are checked against; none takes everything.
    plan: Option<BTreeMap<String, Vec<usize>>>,
    /// Tensors of the current file.
    tensors: Tensors,
    text: Option<Text>,
    vision: Option<VisionTower>,
    projector: Option<(String, Metadata, Tensors)>,
    adapters: BTreeMap<Task, (String, f32, Tensors)>,
}

struct Text {
    file: String,
    config: TextConfig,
    tokenizer: Tokenizer,
    name: Option<String>,
    merged_task: Option<Task>,
    tensors: Tensors,
    headers: Vec<Header>,
}

impl Loader {
    /// A loader onto `device`.
    pub fn new(device: &Device) -> Self {
        let parts = Parts {
            device: device.clone(),
            role: Role::Text,
            file: String::new(),
            upload: None,
            infos: Vec::new(),
            shared: upload::Shared::new(),
            plan: None,
            tensors: Tensors::new(),
            text: None,
            vision: None,
            projector: None,
            adapters: BTreeMap::new(),
        };
        Self {
            current: None,
            parts,
        }
    }

    /// The next bytes belong to this file.
    ///
    /// - `name`: what errors call it
    /// - `n_bytes`: its length, where known
    pub fn begin_file(&mut self, role: Role, name: &str, n_bytes: Option<u64>) -> Result<()> {
        if let Some((_, file, _)) = &self.current {
            return Err(Error::OutOfTurn { file: file.clone() }.into());
        }
        if let Role::Adapter(task) = role
            && self.parts.adapters.contains_key(&task)
        {
            return Err(Error::RepeatedAdapter {
                file: name.to_string(),
                task,
            }
            .into());
        }
        self.parts.role = role;
        self.parts.file = name.to_string();
        self.parts.plan = None;
        self.parts.tensors = Tensors::new();
        self.current = Some((
            role,
            name.to_string(),
            Stream::new(name.to_string(), n_bytes),
        ));
        Ok(())
    }

    /// The next bytes of the file, in file order. After an error the loader is of no more use.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        match &mut self.current {
            Some((_, _, stream)) => stream.push(chunk, &mut self.parts),
            None => Err(Error::OutOfTurn {
                file: self.parts.file.clone(),
            }
            .into()),
        }
    }

    /// The file is over.
    pub fn end_file(&mut self) -> Result<()> {
        let Some((role, file, stream)) = self.current.take() else {
            return Err(Error::OutOfTurn {
                file: self.parts.file.clone(),
            }
            .into());
        };
        let header = stream.finish()?;
        let tensors = std::mem::take(&mut self.parts.tensors);
        self.parts.end_file(role, file, header, tensors)
    }

    /// The model, if the files make one.
    pub fn finish(self) -> Result<Loaded> {
        if let Some((_, file, _)) = self.current {
            return Err(Error::OutOfTurn { file }.into());
        }
        self.parts.finish()
    }
}

impl Parts {
    fn end_file(
        &mut self,
        role: Role,
        file: String,
        header: Header,
        mut tensors: Tensors,
    ) -> Result<()> {
        match role {
            Role::Text => {
                let text = self
                    .text
                    .as_mut()
                    .ok_or(Error::MissingPart { role: "text" })?;
                for (name, tensor) in tensors {
                    if text.tensors.insert(name.clone(), tensor).is_some() {
                        return Err(Error::RepeatedTensor { file, tensor: name }.into());
                    }
                }
                text.headers.push(header);
            }
            Role::Vision => {
                let config = metadata::vision_config(&file, &header.metadata)?;
                let mut source = Source::loaded(&file, &mut tensors);
                self.vision = Some(tables::vision_tower(&config, &mut source)?);
            }
            Role::Projector => self.projector = Some((file, header.metadata, tensors)),
            Role::Adapter(task) => {
                let alpha = header.metadata.f32("adapter.lora.alpha")?;
                self.adapters.insert(task, (file, alpha, tensors));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Loaded> {
        let Text {
            file,
            config,
            tokenizer,
            name,
            merged_task,
            mut tensors,
            headers,
        } = self.text.ok_or(Error::MissingPart { role: "text" })?;
        gguf::split::check_parts(&headers.iter().collect::<Vec<_>>())?;
        let mut source = Source::loaded(&file, &mut tensors);
        let mut decoder = tables::decoder(&config, &mut source)?;

        let mut tasks = BTreeSet::new();
        let merged = self.adapters.is_empty();
        for (task, (file, alpha, tensors)) in self.adapters {
            adapters::attach_to_decoder(&file, &mut decoder, task, alpha, tensors)?;
            tasks.insert(task);
        }
        tasks.extend(merged_task.filter(|_| merged));

        let projector = match self.projector {
            Some((file, metadata, mut tensors)) => Some(build_projector(
                &file,
                &metadata,
                config.hidden_size,
                &mut tensors,
            )?),
            None => None,
        };
        if let Some(vision) = &self.vision
            && vision.config.out_hidden_size != config.hidden_size
        {
            return Err(Error::Inconsistent {
                file,
                what: "hidden_size".into(),
                needed: format!("the vision tower's {}", vision.config.out_hidden_size),
                found: config.hidden_size.to_string(),
            }
            .into());
        }
        self.device.release_unused();
        Ok(Loaded {
            decoder,
            vision: self.vision,
            projector,
            tokenizer,
            tasks,
            name,
        })
    }

    /// Reads the sizes of the first text part and lists the tensors it needs.
    fn text_header(&mut self, header: &mut Header) -> Result<()> {
        if let Some(text) = &self.text {
            self.plan = Some(plan_of_decoder(&text.config)?);
            return Ok(());
        }
        let name = "token_embd.weight";
        let table = header.tensors.iter().find(|info| info.name == name);
        let vocab_size = match table.map(|info| info.shape.as_slice()) {
            Some([rows, _]) => *rows,
            Some(found) => {
                return Err(Error::WrongShape {
                    file: self.file.clone(),
                    tensor: name.into(),
                    needed: vec![0, 0],
                    found: found.to_vec(),
                }
                .into());
            }
            // A split may begin with a part that holds the metadata alone.
            None => header.metadata.strs("tokenizer.ggml.tokens")?.len(),
        };
        let config = metadata::text_config(&self.file, &header.metadata, vocab_size)?;
        let tokenizer = Tokenizer::from_gguf(&header.metadata)?;
        if tokenizer.vocab_size() > vocab_size {
            return Err(Error::Inconsistent {
                file: self.file.clone(),
                what: format!("tensor `{name}`"),
                needed: format!("a row for each of {} tokens", tokenizer.vocab_size()),
                found: format!("{vocab_size} rows"),
            }
            .into());
        }
        // The tokeniser has its own of them.
        for key in ["tokens", "token_type", "merges"] {
            header.metadata.remove(&format!("tokenizer.ggml.{key}"));
        }
        self.plan = Some(plan_of_decoder(&config)?);
        let name = header.metadata.opt_str("general.name")?.map(str::to_string);
        let merged_task = Task::named_in(name.as_deref().unwrap_or(&self.file));
        self.text = Some(Text {
            file: self.file.clone(),
            config,
            tokenizer,
            name,
            merged_task,
            tensors: Tensors::new(),
            headers: Vec::new(),
        });
        Ok(())
    }
}

impl Sink for Parts {
    fn header(&mut self, header: &mut Header) -> Result<()> {
        self.infos = header.tensors.clone();
        self.shared.clear();
        match self.role {
            Role::Text => self.text_header(header)?,
            Role::Vision => {
                let config = metadata::vision_config(&self.file, &header.metadata)?;
                let mut source = Source::plan();
                tables::vision_tower(&config, &mut source)?;
                self.plan = Some(source.into_plan());
            }
            Role::Projector | Role::Adapter(_) => self.plan = None,
        }
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        let is_split = header.metadata.opt_u32("split.count")?.unwrap_or(1) > 1;
        for (name, needed) in plan {
            match header.tensors.iter().find(|info| info.name == *name) {
                Some(info) if info.shape == *needed => {}
                Some(info) => {
                    return Err(Error::WrongShape {
                        file: self.file.clone(),
                        tensor: name.clone(),
                        needed: needed.clone(),
                        found: info.shape.clone(),
                    }
                    .into());
                }
                // Another part may hold it; then it is missed when the model is built.
                None if is_split => {}
                None => {
                    return Err(Error::MissingTensor {
                        file: self.file.clone(),
                        tensor: name.clone(),
                        needed: needed.clone(),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, info: &TensorInfo) -> Result<Want> {
        if self
            .plan
            .as_ref()
            .is_some_and(|plan| !plan.contains_key(&info.name))
        {
            log::warn!("`{}`: tensor `{}` is not used", self.file, info.name);
            return Ok(Want::Nothing);
        }
        self.upload = Some(Upload::new(
            &self.device,
            &self.file,
            info,
            &self.infos,
            &mut self.shared,
        )?);
        Ok(upload::form(info))
    }

    fn values(&mut self, values: &[f32]) -> Result<()> {
        if let Some(upload) = &mut self.upload {
            upload.push_values(values);
        }
        Ok(())
    }

    fn blocks(&mut self, info: &TensorInfo, bytes: &[u8]) -> Result<()> {
        if let Some(upload) = &mut self.upload {
            let pushed = upload.push_blocks(bytes);
            pushed.map_err(|error| Error::of_matrix(&self.file, info, error))?;
        }
        Ok(())
    }

    fn end(&mut self, info: &TensorInfo) -> Result<()> {
        if let Some(upload) = self.upload.take() {
            let stored = upload.finish(info);
            let stored = stored.map_err(|error| Error::of_matrix(&self.file, info, error))?;
            self.tensors.insert(info.name.clone(), stored);
        }
        Ok(())
    }
}

fn plan_of_decoder(config: &TextConfig) -> Result<BTreeMap<String, Vec<usize>>> {
    let mut source = Source::plan();
    tables::decoder(config, &mut source)?;
    Ok(source.into_plan())
}

fn build_projector(
    file: &str,
    metadata: &Metadata,
    hidden_size: usize,
    tensors: &mut Tensors,
) -> Result<Projector> {
    let name = "multi_vector_projector.bias";
    let dim = match tensors.get(name) {
        Some(stored) => stored.shape().iter().product(),
        None => {
            let needed = vec![0];
            let file = file.to_string();
            return Err(Error::MissingTensor {
                file,
                tensor: name.into(),
                needed,
            }
            .into());
        }
    };
    let mut projector = {
        let mut source = Source::loaded(file, tensors);
        tables::projector(dim, hidden_size, &mut source)?
    };
    let alpha = metadata
        .opt_f32("jina.projector.lora.alpha")?
        .unwrap_or(1.0);
    for task in Task::ALL {
        adapters::attach_to_projector(file, &mut projector.linear, task, alpha, tensors)?;
    }
    Ok(projector)
}
