//! The baseline: a proxy that copies and does nothing else, on the same
//! server, client and runtime as Freehold: `hop --port 18090 --to 127.0.0.1:18080`.

use std::net::TcpStream;

use freehold_bench::Args;
use http::Uri;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the connections dealt to one thread.
fn worker(to: String, mut accepted: tokio::sync::mpsc::Receiver<TcpStream>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
        while let Some(socket) = accepted.recv().await {
            let socket = tokio::net::TcpStream::from_std(socket)?;
            let (client, to) = (client.clone(), to.clone());
            tokio::spawn(async move {
                let service = service_fn(|mut request: Request<Incoming>| {
                    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
                    let uri = format!("http://{to}{path}").parse::<Uri>();
                    if let Ok(uri) = uri {
                        *request.uri_mut() = uri;
                    }
                    request.headers_mut().remove("host");
                    client.request(request)
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
                drop(served);
            });
        }
        Ok(())
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args = Args::read();
    let to = args.get("to", "127.0.0.1:18080".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut queues = Vec::new();
    for _ in 0..args.get("workers", cores) {
        let (queue, accepted) = tokio::sync::mpsc::channel(256);
        let to = to.clone();
        std::thread::spawn(move || worker(to, accepted));
        queues.push(queue);
    }
    let address = ("127.0.0.1", args.get("port", 18090));
    let listener = tokio::net::TcpListener::bind(address).await?;
    for at in (0..queues.len()).cycle() {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let socket = socket.into_std()?;
        if let Some(queue) = queues.get(at) {
            queue.send(socket).await.ok();
        }
    }
    Ok(())
}
