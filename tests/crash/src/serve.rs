//! The outside world's servers: a thread a connection, on loopback.

use std::io::{BufReader, Result, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::http::{self, Message};

/// Answers one request; an error closes the connection.
pub(crate) type Answer = dyn Fn(&Message, &mut TcpStream) -> Result<()> + Send + Sync;

/// Serves until the program ends.
pub(crate) fn serve(answer: Arc<Answer>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                // Whoever is killed in the middle of an exchange ends it so.
                drop(exchanges(socket, &*answer));
            });
        }
    });
    Ok(address)
}

fn exchanges(socket: TcpStream, answer: &Answer) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut to = socket.try_clone()?;
    let mut from = BufReader::new(socket);
    while let Some(message) = http::request(&mut from)? {
        answer(&message, &mut to)?;
    }
    Ok(())
}

/// A short answer.
pub(crate) fn reply(to: &mut TcpStream, status: u16, body: &str) -> Result<()> {
    let text = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    to.write_all(text.as_bytes())
}
