//! `freehold check`: finds mistakes before they are in force.

use clap::Args;
use freehold_gateway::options::Strategy;

use super::ConfigArgs;
use freehold_server::config::{Config, Overrides};
use freehold_server::out;

/// Check a configuration and say what it means.
///
/// Ends with status 0 if a server would take it. Credentials that are missing
/// here are told, but are no mistake: they may be there where it runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold check                            checks freehold.toml in this folder
  freehold check --config /etc/freehold.toml")]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let source = self.config.source(Overrides::default());
        let config = source.load()?;
        match source.file() {
            Some(file) => out::line(format!("{} is in order.", file.display())),
            None => out::line("There is no configuration file; the defaults are in order."),
        }
        for line in summary(&config) {
            out::line(line);
        }
        for warning in &config.warnings {
            out::note(format!("warning: {warning}"));
        }
        Ok(())
    }
}

/// What the configuration amounts to.
fn summary(config: &Config) -> Vec<String> {
    let mut lines = vec![format!("It listens on {}.", config.server.listen)];
    for (name, provider) in config.gateway.effective_providers() {
        let kind = provider.kind(&name);
        let address = provider.base_url.as_deref().map(|url| format!(" at {url}"));
        lines.push(format!("provider {name}: {kind}{}", address.unwrap_or_default()));
    }
    for (name, route) in config.gateway.effective_routes() {
        let between = match route.strategy {
            Strategy::Ordered => ", then ",
            Strategy::Weighted | Strategy::Latency | Strategy::Price => " or ",
        };
        let deployments: Vec<String> = route
            .deployments
            .iter()
            .map(|deployment| format!("{}/{}", deployment.provider, deployment.model))
            .collect();
        lines.push(format!("route {name}: {}", deployments.join(between)));
    }
    lines
}
