//! The suite's reflecting origin: `POST /reflect` is answered with the status, fields and body that its body asks for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::ftw;

/// Starts it; it lives as long as the process.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // Who breaks off gets no answer.
                let _ = serve(&stream);
            });
        }
    });
    address
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let target = line.split(|byte| *byte == b' ').nth(1);
    let target = target.unwrap_or_default().to_vec();
    let is_head = line.starts_with(b"HEAD ");
    let (mut length, mut chunked) = (0, false);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 || line.trim_ascii().is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
        match text.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("transfer-encoding", value)) => chunked = value.contains("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    let answer = ftw::answer(&target, &body);
    let mut out = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        if !name.eq_ignore_ascii_case(b"content-length") {
            out.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
        }
    }
    let bodiless = is_head || matches!(answer.status, 100..=199 | 204 | 304);
    if !bodiless {
        out.extend(format!("Content-Length: {}\r\n", answer.body.len()).bytes());
    }
    out.extend_from_slice(b"\r\n");
    if !bodiless {
        out.extend_from_slice(&answer.body);
    }
    (&*stream).write_all(&out)
}
