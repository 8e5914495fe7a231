//! A small HTTP server: real sockets, answers by a function.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `GET /path`.
    pub(super) line: String,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line =
            |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        self.head.lines().find(line)?.split_once(':').map(|(_, value)| value.trim())
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Answers with a status, a content type and a body.
    Answers(u16, &'static str, String),
    /// Answers with more headers.
    AnswersWith(u16, String, String),
    /// Closes without a word.
    Closes,
    /// Begins an answer and closes in the middle.
    Breaks,
    /// Never answers.
    Hangs,
    /// Sends a byte now and then, without end.
    Drips,
}

/// A server that runs until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(
        host: &str,
        does: impl Fn(&Asked) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(format!("{host}:0")).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, does) = (Arc::clone(&asked), Arc::new(does));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (heard, does) = (Arc::clone(&heard), Arc::clone(&does));
                tokio::spawn(async move { serve(tcp, &heard, &*does).await });
            }
        });
        Self { address, asked, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().expect("no panic before").len()
    }
}

async fn serve(
    mut tcp: TcpStream,
    heard: &Mutex<Vec<Asked>>,
    does: &(dyn Fn(&Asked) -> Does + Sync),
) {
    while let Some(asked) = read(&mut tcp).await {
        heard.lock().expect("no panic before").push(asked.clone());
        let write = match does(&asked) {
            Does::Answers(status, kind, body) => {
                let head = format!("content-type: {kind}\r\n");
                answer(&mut tcp, status, &head, &body).await
            }
            Does::AnswersWith(status, head, body) => answer(&mut tcp, status, &head, &body).await,
            Does::Closes => return,
            Does::Breaks => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
                let _sent = tcp.write_all(head.as_bytes()).await;
                return;
            }
            Does::Hangs => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
            Does::Drips => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                let mut sent = tcp.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    sent = tcp.write_all(b".").await;
                }
                return;
            }
        };
        if write.is_err() {
            return;
        }
    }
}

async fn answer(tcp: &mut TcpStream, status: u16, head: &str, body: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 {status} X\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
    tcp.write_all(text.as_bytes()).await
}

async fn read(tcp: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    tcp.read_exact(&mut body).await.ok()?;
    Some(Asked { line, head, body: String::from_utf8_lossy(&body).into_owned() })
}
