//! Requests one after the other on a connection that is kept, for what has to
//! be done often before something can be measured.

use std::io::{Error, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries of a request that was told to come again.
const PAUSE: Duration = Duration::from_millis(20);
/// Tries of one request.
const TRIES: u32 = 1_500;

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    to: SocketAddr,
    key: String,
    socket: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// One that will connect with its first request.
    pub fn new(to: SocketAddr, key: &str) -> Self {
        Self { to, key: key.to_owned(), socket: None, buffer: Vec::new() }
    }

    /// Sends a request until it is taken, and gives the JSON of its answer.
    /// One that is told to come again (429, 503) is sent again.
    pub fn json(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        for _ in 0..TRIES {
            let (status, answer) = self.ask(method, path, &body)?;
            match status {
                200..300 => return serde_json::from_slice(&answer).map_err(Error::other),
                429 | 503 => std::thread::sleep(PAUSE),
                _ => {
                    let said = String::from_utf8_lossy(&answer);
                    return Err(Error::other(format!("{method} {path}: {status} {said}")));
                }
            }
        }
        Err(Error::other(format!("{method} {path}: told to come again {TRIES} times")))
    }

    /// Sends a request once. Gives the status and the whole body, which must
    /// say its length.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let answered = self.exchange(method, path, body);
        if answered.is_err() {
            self.socket = None;
        }
        answered
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let (to, key, length) = (self.to, &self.key, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(to)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                self.socket.insert(socket)
            }
        };
        socket.write_all(request.as_bytes())?;
        self.buffer.clear();
        let (head, status, length) = loop {
            read(socket, &mut self.buffer)?;
            if let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(self.buffer.get(..head).unwrap_or_default());
                let (status, length) = head_of(&text)
                    .ok_or_else(|| Error::other(format!("{path}: cannot read {text:?}")))?;
                break (head + 4, status, length);
            }
        };
        while self.buffer.len() < head + length {
            read(socket, &mut self.buffer)?;
        }
        Ok((status, self.buffer.get(head..head + length).unwrap_or_default().to_vec()))
    }
}

/// The status and the length of the body; `None` for a head that has not both.
fn head_of(head: &str) -> Option<(u16, usize)> {
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match lengths.next() {
        Some((_, length)) => Some((status, length.trim().parse().ok()?)),
        None if status == 204 => Some((status, 0)),
        None => None,
    }
}

fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut part = [0; 16 << 10];
    let got = socket.read(&mut part)?;
    if got == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    buffer.extend_from_slice(part.get(..got).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::head_of;

    #[test]
    fn a_head_says_status_and_length() {
        let head = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\nx: y";
        assert_eq!(head_of(head), Some((201, 12)));
        assert_eq!(head_of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"), None);
        assert_eq!(head_of("HTTP/1.1 204 No Content\r\n"), Some((204, 0)));
    }
}
