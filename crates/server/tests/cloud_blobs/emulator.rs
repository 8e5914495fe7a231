//! Emulators of clouds' object stores, each with one empty bucket.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The emulator's account and its key, which are public.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How long an emulator may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Emulator {
    process: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Emulator {
    pub(crate) fn s3(bucket: &str) -> Self {
        let started = Self::start("FREEHOLD_TEST_MOTO", |command, port| {
            command.args(["-H", "127.0.0.1", "-p", port]);
        });
        started.make(&format!("PUT /{bucket} HTTP/1.1\r\nx-amz-date: 20260101T000000Z\r\n"));
        started
    }

    pub(crate) fn azure(container: &str) -> Self {
        let started = Self::start("FREEHOLD_TEST_AZURITE", |command, port| {
            command.args(["--blobPort", port, "--silent", "--skipApiVersionCheck"]);
            command.args(["--disableTelemetry", "--inMemoryPersistence"]);
        });
        let (date, version) = ("Thu, 01 Jan 2026 00:00:00 GMT", "2021-12-02");
        let path = format!("/{ACCOUNT}/{container}");
        let signed = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n\
             /{ACCOUNT}{path}\nrestype:container"
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        started.make(&format!(
            "PUT {path}?restype=container HTTP/1.1\r\nx-ms-date: {date}\r\n\
             x-ms-version: {version}\r\nauthorization: SharedKey {ACCOUNT}:{signature}\r\n"
        ));
        started
    }

    fn start(variable: &str, arguments: impl FnOnce(&mut Command, &str)) -> Self {
        let program = std::env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} does not name the emulator's program"));
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago; nobody else asks for ports of their choice here.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        arguments(&mut command, &port.to_string());
        let process = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { process, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(started.address()).is_err() {
            assert!(Instant::now() < until, "the emulator does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        started
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Sends a request without a body, which has to succeed.
    fn make(&self, head: &str) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let host = self.address();
        let rest = format!("host: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
