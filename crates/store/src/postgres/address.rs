//! Where the database is and how it is reached: `postgres://user@host/name`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use freehold_types::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::OpenError;

/// A checked address.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// For people: hosts and database, without the user.
    pub(super) shown: String,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    Off,
    /// The server must have a certificate for its name, from the system's
    /// authorities or from those in this file alone.
    Verified(Option<PathBuf>),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection whose other side vanished is noticed within half a minute.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Reads an address. The password comes by reference and beside it.
pub(super) fn parse(url: &str, password: Option<&Secret>) -> Result<Address, OpenError> {
    let wrong = |why: String| OpenError::Url { why };
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(wrong("it does not begin with postgres://".into()));
    }
    let (rest, ours) = split(url);
    let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        wrong(cause.unwrap_or_else(|| error.to_string()))
    })?;
    if config.get_password().is_some() {
        let why = "it has a password in it; give that by reference, as store.password";
        return Err(wrong(why.into()));
    }
    let tls = tls(&ours, config.get_hosts()).map_err(wrong)?;
    config.ssl_mode(match tls {
        Tls::Off => SslMode::Disable,
        Tls::Verified(_) => SslMode::Require,
    });
    if let Some(password) = password {
        config.password(password.reveal());
    }
    if config.get_application_name().is_none() {
        config.application_name("freehold");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    // Of several hosts, the one that takes writes.
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config
        .keepalives_idle(KEEPALIVES_IDLE)
        .keepalives_interval(KEEPALIVES_INTERVAL)
        .keepalives_retries(KEEPALIVES_RETRIES);
    let shown = shown(&config);
    Ok(Address { config, tls, shown })
}

/// What a URL says of TLS beyond what the driver reads itself.
#[derive(Default)]
struct Ours {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

/// Takes `sslmode` and `sslrootcert` out of a URL.
fn split(url: &str) -> (String, Ours) {
    let mut ours = Ours::default();
    let Some((path, query)) = url.split_once('?') else { return (url.to_owned(), ours) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => ours.mode = Some(decode(mode)),
            Some(("sslrootcert", file)) => ours.roots = Some(decode(file).into()),
            _ => kept.push(pair),
        }
    }
    if kept.is_empty() {
        (path.to_owned(), ours)
    } else {
        (format!("{path}?{}", kept.join("&")), ours)
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Over a network, only a verified server will do unless the owner says
/// otherwise: what only encrypts can be anybody's.
fn tls(ours: &Ours, hosts: &[Host]) -> Result<Tls, String> {
    let near = hosts.iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    match ours.mode.as_deref() {
        Some("disable") => Ok(Tls::Off),
        None if near && ours.roots.is_none() => Ok(Tls::Off),
        None | Some("require" | "verify-ca" | "verify-full") => {
            Ok(Tls::Verified(ours.roots.clone()))
        }
        Some(other) => Err(format!(
            "sslmode={other} is not known here: use verify-full (the usual one over a network; \
             sslrootcert names a CA file) or disable"
        )),
    }
}

fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let host = |(at, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(at)),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<_> = config.get_hosts().iter().enumerate().map(host).collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match parse(url, None) {
            Ok(_) => panic!("{url} was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn over_a_network_the_server_is_verified_unless_the_owner_says_no() {
        let tls = |url| parse(url, None).unwrap().tls;
        assert_eq!(tls("postgres://u@db.example/f"), Tls::Verified(None));
        assert_eq!(tls("postgres://u@db.example/f?sslmode=disable"), Tls::Off);
        assert_eq!(tls("postgres://u@127.0.0.1:5433/f"), Tls::Off);
        assert_eq!(tls("postgres://u@localhost/f?sslmode=require"), Tls::Verified(None));
        let custom = tls("postgresql://u@db/f?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem");
        assert_eq!(custom, Tls::Verified(Some("/etc/ca.pem".into())));
        assert!(refusal("postgres://u@db/f?sslmode=prefer").contains("verify-full"));
    }

    #[test]
    fn what_else_the_url_says_goes_to_the_driver() {
        let url = "postgres://u@/f?host=%2Frun%2Fpg&sslmode=disable&options=-csearch_path%3Dx";
        let address = parse(url, Some(&Secret::new("pw"))).unwrap();
        assert_eq!(address.config.get_options(), Some("-csearch_path=x"));
        assert_eq!(address.config.get_password(), Some(&b"pw"[..]));
        assert_eq!(address.shown, "/run/pg/f");
        assert_eq!(parse("postgres://u@a:1,b:2/f", None).unwrap().shown, "a:1,b:2/f");
    }

    #[test]
    fn a_password_in_the_clear_and_what_is_no_url_are_refused() {
        let told = refusal("postgres://u:secret@db/f");
        assert!(told.contains("by reference") && !told.contains("secret"), "{told}");
        assert!(refusal("mysql://u@db/f").contains("postgres://"));
        assert!(refusal("postgres://u@db/f?colour=red").contains("colour"));
        assert!(refusal("postgres://u@db:port/f").contains("port"));
    }

    #[test]
    fn an_escape_that_is_none_stays_as_it_is() {
        assert_eq!(decode("a%2Fb%zz%2"), "a/b%zz%2");
    }
}
