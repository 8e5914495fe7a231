//! What a file may say, and what is said about a mistake.

use std::time::Duration;

use super::*;

const KINDS: [Kind<'static>; 3] = [
    Kind { name: "acme", has_address: true },
    Kind { name: "compatible", has_address: false },
    Kind { name: "local", has_address: true },
];

fn read(text: &str) -> Result<Config, Error> {
    let environment = |name: &str| (name == "SET").then(|| "sk-from-environment".to_owned());
    parse(text, Path::new("/etc/freehold"), &KINDS, &environment)
        .map_err(|faults| Error { file: Some("f.toml".into()), faults })
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = read("").unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8484");
    assert!(config.warnings.is_empty());
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (text, told) in [
        (
            "[server]\nlisen = '127.0.0.1:1'",
            "f.toml:2:1: unknown key `lisen`: did you mean `listen`?",
        ),
        ("[sever]\n", "f.toml:1:2: unknown key `sever`: did you mean `server`?"),
        ("[server]\ncolour = 1", "f.toml:2:1: unknown key `colour`: known here are listen, data,"),
        ("[server]\nlisten = 'here'", "f.toml:2:10: invalid socket address syntax"),
        (
            "[server]\nworkers = 'many'",
            "f.toml:2:11: invalid type: string \"many\", expected usize",
        ),
        ("[server]\nlisten = ", "f.toml:2:"),
        (
            "[server]\n\n  drain_seconds = 9999",
            "f.toml:3:3: server.drain_seconds: 9999 is not between 0 and 3600",
        ),
        (
            "[server]\nbody_bytes_in_flight_max = 4096",
            "f.toml:2:1: server.body_bytes_in_flight_max: it is less than",
        ),
        ("[blobs]\nurl = 'ftp://x'", "f.toml:2:1: blobs.url: it is none of file:///FOLDER, s3"),
        (
            "[blobs]\nurl = 's3://b'\nsecret = { env = 'SET' }",
            "f.toml:3:1: blobs.secret: `account` says whose it is",
        ),
        ("[blobs]\nurl = 'gs://b'\nregion = 'x'", "f.toml:3:1: blobs.region: the url is not one"),
        (
            "[limits.tenants.acme]\nconcurrency = 0",
            "f.toml:2:1: limits.tenants.acme.concurrency: 0 would let nothing through",
        ),
        (
            "[usage]\ndurability = 'maybe'",
            "f.toml:2:14: unknown variant `maybe`, expected `async` or `sync`",
        ),
        (
            "[providers.acme]\nkey = 'sk-inline'",
            "f.toml:2:7: a secret may not stand in the configuration",
        ),
        (
            "[providers.acme]\napi_key = 'sk-inline'",
            "f.toml:2:1: unknown key `api_key`: a credential is given by reference",
        ),
        ("[providers.acmee]\n", "f.toml:1:12: providers.acmee: no provider kind is named `acmee`"),
        (
            "# a\n[routes.fast]\nto = 'acme/m'\n",
            "f.toml:3:1: routes.fast.to: no provider is named `acme`",
        ),
        (
            "[providers.acme]\n[[routes.a.deployments]]\nprovider = 'acme'\nmodel = 'm'\n[[routes.a.deployments]]\nprovider = 'acmee'\nmodel = 'm'",
            "f.toml:5:1: routes.a.deployments.1: no provider is named `acmee`: did you mean `acme`?",
        ),
        (
            "[tools.git]\nkind = 'mcp'\nurl = 'ftp://x'",
            "f.toml:3:1: tools.git.url: it must be http://HOST/PATH",
        ),
        (
            "[tools.git]\nkind = 'mcp'\nurl = 'http://x'\nauth = { key = 'sk-inline' }",
            "f.toml:4:16: a secret may not stand in the configuration",
        ),
        ("[tools.git]\nkind = 'mpc'", "f.toml:2:8: unknown variant `mpc`"),
        ("[tools.wait]\nkind = 'builtin'", "there are wait_until, ask_human"),
        (
            "[tools.wait_until]\nkind = 'builtin'\n[tools.wait_until.rules]\napproval = 'yes'",
            "f.toml:4:12: invalid type: string \"yes\", expected true, false, or",
        ),
        (
            "[tools.shop]\nkind = 'http'\nopenapi = 'none.json'\nonly = ['x']",
            "f.toml:3:1: tools.shop.openapi: /etc/freehold/none.json:",
        ),
        (
            "[tools.shop]\nkind = 'http'\nurl = 'http://x'\nonly = ['getOrdr']\ndocument = '{\"openapi\":\"3.0.0\",\"paths\":{\"/o\":{\"get\":{\"operationId\":\"getOrder\"}}}}'",
            "f.toml:4:1: tools.shop.only: the description has no operation `getOrdr`: did you mean `getOrder`?",
        ),
        ("[client_tools]\ntimeout_ms = 0", "f.toml:2:1: client_tools.timeout_ms: 0 is not between"),
        (
            "[telemetry.otlp]\nendpoint = 'localhost'",
            "f.toml:2:1: telemetry.otlp.endpoint: it must be",
        ),
    ] {
        let error = read(text).map(|_| ()).expect_err(text).to_string();
        assert!(error.contains(told), "{text}\n  told:   {error}\n  wanted: {told}");
        assert!(!error.contains("sk-inline"), "leaks: {error}");
    }
}

#[test]
fn all_that_validation_finds_is_told_at_once() {
    let error = read("[server]\ndrain_seconds = 9999\n[usage]\nflush_ms = 0").unwrap_err();
    assert_eq!(error.faults.len(), 2);
    assert_eq!(error.to_string().lines().count(), 2);
}

#[test]
fn a_secret_is_read_from_where_it_is_kept_and_a_missing_one_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good"), "sk-from-file\n").unwrap();
    std::fs::write(folder.path().join("two"), "a\nb\n").unwrap();
    let text = "[providers.a]\nkind='acme'\nkey={env='SET'}\n[providers.b]\nkind='acme'\nkey={env='UNSET'}\n\
                [providers.c]\nkind='acme'\nkey={file='good'}\n[providers.d]\nkind='acme'\nkey={file='two'}";
    let environment = |name: &str| (name == "SET").then(|| "sk-from-environment".to_owned());
    let config = parse(text, folder.path(), &KINDS, &environment).unwrap();
    let secret = |name: &str| {
        let at = config.gateway.providers[name].key.as_ref().unwrap();
        config.secrets.get(at).map(|secret| secret.reveal().to_owned())
    };
    assert_eq!(secret("a").as_deref(), Some("sk-from-environment"));
    assert_eq!(secret("b"), None);
    assert_eq!(secret("c").as_deref(), Some("sk-from-file"));
    assert_eq!(secret("d"), None);
    assert_eq!(
        config.warnings[0],
        "provider `b` has no credential: the environment variable UNSET: it is not set"
    );
    assert!(config.warnings[1].ends_with("holds more than one line"), "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains("sk-from"));
}

#[test]
fn paths_start_at_the_files_folder() {
    let config =
        read("[server]\ndata = 'state'\ntls = { cert = 'c.pem', key = '/k.pem' }").unwrap();
    assert_eq!(config.server.data.as_deref(), Some(Path::new("/etc/freehold/state")));
    let tls = config.server.tls.unwrap();
    assert_eq!((tls.cert, tls.key), ("/etc/freehold/c.pem".into(), "/k.pem".into()));
}

#[test]
fn a_store_is_a_file_unless_it_has_an_address() {
    use freehold_store::StoreOptions;

    let text = "[store]\nurl = 'postgres://u@db/f'\npassword = { env = 'DB' }\nconnections = 3";
    let config = read(text).unwrap();
    assert!(config.warnings.iter().any(|warning| warning.contains("store has no credential")));
    match config.store.resolve(Path::new("/data"), &config.secrets) {
        StoreOptions::Postgres(options, folder) => {
            assert_eq!((options.writers, options.readers, folder), (3, 4, "/data".into()));
        }
        StoreOptions::Sqlite(_) => panic!("it is a file"),
    }
    let usual = read("").unwrap();
    let resolved = usual.store.resolve(Path::new("/data"), &usual.secrets);
    assert!(matches!(resolved, StoreOptions::Sqlite(_)));
    assert!(read("[store]\nurl = 'postgres://u@db/f?sslmode=prefer'").is_err());
    assert!(read("[store]\npassword = { env = 'DB' }").is_err());
    assert!(read("[store]\nconnections = 0").is_err());
}

#[test]
fn what_needs_a_restart_is_named() {
    let before = read("").unwrap();
    let after =
        read("[server]\nlisten = '127.0.0.1:1'\ndrain_seconds = 1\n[usage]\nflush_ms = 9").unwrap();
    assert_eq!(after.needs_restart(&before), ["server.listen"]);
}

#[test]
fn a_retention_of_no_days_is_for_ever() {
    let kept = |text: &str| read(text).map(|config| config.usage.retention());
    assert_eq!(kept("").unwrap(), None);
    assert_eq!(kept("[usage]\nretention_days = 0").unwrap(), None);
    let week = Duration::from_secs(7 * 24 * 3_600);
    assert_eq!(kept("[usage]\nretention_days = 7").unwrap(), Some(week));
    let error = kept("[usage]\nretention_days = 40000").unwrap_err().to_string();
    assert!(error.contains("usage.retention_days: 40000 is more than 3653"), "{error}");
}
