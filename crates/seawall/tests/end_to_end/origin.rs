//! Origins that a test holds by the hand: they answer when it says so, or never read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::up::patience;

/// Takes requests one by one; each waits in here until it is released.
pub struct Held {
    address: SocketAddr,
    arrived: Receiver<Arrival>,
}

/// A request whose head has arrived at the origin: the connection on which to answer it.
pub struct Arrival {
    stream: TcpStream,
}

impl Held {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, arrived) = sync_channel(16);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || hold(stream, &tell));
            }
        });
        Self { address, arrived }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that the edge sends.
    pub fn next(&self) -> Arrival {
        self.arrived
            .recv_timeout(patience())
            .expect("a request at the origin")
    }
}

fn hold(mut stream: TcpStream, tell: &SyncSender<Arrival>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let _gone = tell.send(Arrival { stream });
}

impl Arrival {
    /// Answers with 200 and this text, and closes.
    pub fn answer(mut self, text: &str) {
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
        self.stream.write_all(answer.as_bytes()).unwrap();
    }

    /// Begins an answer of `length` bytes and hands out the connection for its body.
    pub fn begin(mut self, length: u64) -> TcpStream {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream
    }

    /// Begins an answer in chunks that may be kept, and hands out the connection for them.
    pub fn begin_in_chunks(mut self) -> TcpStream {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream
    }
}

/// A site that answers every request with the same text.
pub struct Answering {
    address: SocketAddr,
}

impl Answering {
    pub fn start(text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer_all(stream, text));
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer_all(stream: TcpStream, text: &str) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        while !lines.next()?.ok()?.is_empty() {}
        let length = text.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// An address that nobody listens on.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
