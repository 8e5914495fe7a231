//! As much of HTTP/1.1 as both sides need here, on blocking sockets.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The most bytes of a body.
const BODY_MAX: usize = 16 << 20;

/// A request, or the head and body of an answer.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) first: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// The path of a request.
    pub(crate) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Reads a message without its body; `None` at the end of the connection.
fn head(from: &mut BufReader<TcpStream>) -> Result<Option<Message>> {
    let Some(first) = line(from)? else { return Ok(None) };
    let mut message = Message { first: first.trim_end().to_owned(), ..Message::default() };
    loop {
        let line = line(from)?.ok_or_else(|| cut("the head is cut"))?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        message.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Some(message))
}

/// A whole line; `None` at the end of the connection.
fn line(from: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with('\n') { Ok(Some(line)) } else { Err(cut("a line is cut")) }
}

/// The other side went away.
fn cut(what: &str) -> Error {
    Error::new(ErrorKind::UnexpectedEof, what)
}

/// Reads a request with its body.
pub(crate) fn request(from: &mut BufReader<TcpStream>) -> Result<Option<Message>> {
    let Some(mut message) = head(from)? else { return Ok(None) };
    if message.header("transfer-encoding").is_some() {
        while let Some(chunk) = chunk(from)? {
            message.body.extend(chunk);
        }
    } else {
        let length = message.header("content-length").and_then(|text| text.parse().ok());
        message.body = vec![0; Ord::min(length.unwrap_or(0), BODY_MAX)];
        from.read_exact(&mut message.body)?;
    }
    Ok(Some(message))
}

/// The next chunk; `None` after the last.
fn chunk(from: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let line = line(from)?.ok_or_else(|| cut("the body is cut"))?;
    let size = usize::from_str_radix(line.trim(), 16).map_err(Error::other)?;
    if size > BODY_MAX {
        return Err(Error::other("a chunk is too large"));
    }
    let mut bytes = vec![0; size + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(size);
    Ok((size > 0).then_some(bytes))
}

/// An answer whose body comes in by and by.
pub(crate) struct Coming {
    from: BufReader<TcpStream>,
    pub(crate) head: Message,
    chunked: bool,
    left: usize,
    over: bool,
}

impl Coming {
    /// The connection, if the whole answer was read and it may be used again.
    pub(crate) fn again(self) -> Option<TcpStream> {
        let keeps = self.head.header("connection").is_none_or(|word| word != "close");
        let read = self.over && self.from.buffer().is_empty();
        (keeps && read).then(|| self.from.into_inner())
    }

    /// The next piece; `None` at the end, an error where it is cut.
    pub(crate) fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        if self.chunked && !self.over {
            let chunk = chunk(&mut self.from)?;
            self.over = chunk.is_none();
            return Ok(chunk);
        }
        if self.left == 0 {
            self.over = true;
            return Ok(None);
        }
        let mut bytes = vec![0; std::mem::take(&mut self.left)];
        self.from.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// What is asked of the server under test.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bearer: &'a str,
    /// An idempotency key, or nothing.
    pub(crate) key: &'a str,
    pub(crate) body: &'a str,
}

/// Sends a request on a connection of its own. `patience` is how long the
/// server may be silent.
pub(crate) fn open(to: SocketAddr, ask: &Ask<'_>, patience: Duration) -> Result<Coming> {
    let socket = TcpStream::connect_timeout(&to, patience)?;
    socket.set_nodelay(true)?;
    open_on(socket, ask, patience, "close")
}

/// Sends a request on a connection that is open; `connection` says what is to
/// become of it.
pub(crate) fn open_on(
    socket: TcpStream,
    ask: &Ask<'_>,
    patience: Duration,
    connection: &str,
) -> Result<Coming> {
    socket.set_read_timeout(Some(patience))?;
    let to = socket.peer_addr()?;
    let Ask { method, path, bearer, key, body } = ask;
    let key = if key.is_empty() { String::new() } else { format!("idempotency-key: {key}\r\n") };
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: {connection}\r\n{key}{kind}\
         authorization: Bearer {bearer}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    (&socket).write_all(text.as_bytes())?;
    let mut from = BufReader::new(socket);
    let head = head(&mut from)?.ok_or_else(|| cut("no answer"))?;
    let chunked = head.header("transfer-encoding").is_some();
    let left = head.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Coming { from, head, chunked, left: Ord::min(left, BODY_MAX), over: false })
}

/// Sends a request and reads the whole answer.
pub(crate) fn ask(to: SocketAddr, ask: &Ask<'_>, patience: Duration) -> Result<Message> {
    let mut coming = open(to, ask, patience)?;
    let mut body = Vec::new();
    while let Some(piece) = coming.piece()? {
        body.extend(piece);
    }
    Ok(Message { body, ..coming.head })
}
