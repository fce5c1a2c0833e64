//! What goes out on a client's connection, byte by byte, when its socket is full or when both halves want to speak.

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::outgoing::Line;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it plays a client")]
async fn what_a_full_socket_does_not_take_is_kept_and_sent_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let stream = Stream::Plain(listener.accept().await.unwrap().0.into());
    let go_on = Continue::default();
    let mut response = Http1Response::new(&stream, false, true, &go_on);
    let extra = Fields::default();
    response.head(ResponseOut {
        status: 200,
        origin: None,
        skip: 0,
        extra: &extra,
        last: Line::default(),
        body: BodyOut::Unknown,
    });
    let mut pieces = 0;
    while response.flush_now().unwrap() {
        assert!(response.keep(&[b'x'; 7000], After::Wait));
        pieces += 1;
    }
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    let mut alarm = Alarm::new(Duration::from_secs(9));
    response
        .flush(&mut alarm, Duration::from_secs(9))
        .await
        .unwrap();
    response
        .end(None, &mut alarm, Duration::from_secs(9))
        .await
        .unwrap();
    let bytes = response.bytes();
    drop(response);
    drop(stream);
    let all = reader.await.unwrap();
    assert_eq!(all.len() as u64, bytes);
    assert!(all.ends_with(b"x\r\n0\r\n\r\n"));
    assert_eq!(
        all.iter().filter(|byte| **byte == b'x').count(),
        pieces * 7000
    );
}

const PACE: BodyPace = BodyPace {
    idle: Duration::from_secs(9),
    rate: 1,
};

/// Plays one exchange on a connection and gives what the client got. `left`: so many bytes of the `100 Continue` that the
/// client waits for are still to be sent when the exchange begins, as if the socket had taken no more.
#[expect(clippy::disallowed_methods, reason = "it plays a client")]
async fn exchanged(
    left: usize,
    play: impl AsyncFnOnce(&mut Http1Body<'_>, &mut Http1Response<'_>, &mut Alarm),
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let stream = Stream::Plain(listener.accept().await.unwrap().0.into());
    let go_on = Continue::new(true);
    go_on.left.set(left);
    let mut buffer = Buffer::default();
    let mut body = Http1Body::new(&stream, &mut buffer, h1::Framing::Length(5), &go_on);
    let mut response = Http1Response::new(&stream, false, true, &go_on);
    let mut alarm = Alarm::new(Duration::from_secs(9));
    play(&mut body, &mut response, &mut alarm).await;
    drop((body, response));
    drop(stream);
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    all
}

fn head(status: u16, extra: &Fields) -> ResponseOut<'_> {
    ResponseOut {
        status,
        origin: None,
        skip: 0,
        extra,
        last: Line::default(),
        body: BodyOut::Length(2),
    }
}

/// Polls the body once, as the upload does beside the download; nothing has come, so it waits.
async fn poll_body(body: &mut Http1Body<'_>) {
    let mut alarm = Alarm::new(Duration::from_secs(9));
    let mut filling = std::pin::pin!(body.fill(&mut alarm, PACE));
    poll_fn(|cx| {
        assert!(filling.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_is_told_to_go_on() {
    let told = exchanged(25, async |body, _, _| poll_body(body).await).await;
    assert_eq!(told, "HTTP/1.1 100 Continue\r\n\r\n");
}

#[tokio::test]
async fn no_one_is_told_to_go_on_within_a_response() {
    let told = exchanged(25, async |body, response, alarm| {
        let extra = Fields::default();
        response.head(head(413, &extra));
        poll_body(body).await;
        assert!(response.keep(b"no", After::Last));
        response.flush(alarm, PACE.idle).await.unwrap();
        poll_body(body).await;
    })
    .await;
    assert!(
        told.starts_with("HTTP/1.1 413 ") && told.ends_with("\r\n\r\nno"),
        "{told}"
    );
    assert!(!told.contains("100 Continue"), "{told}");
}

#[tokio::test]
async fn a_line_that_was_begun_is_ended_before_the_response() {
    let told = exchanged(10, async |body, response, alarm| {
        let extra = Fields::default();
        response.head(head(502, &extra));
        // Nothing of it has left, so another one may be given; the rest of the line is still owed.
        response.take_back();
        response.head(head(413, &extra));
        poll_body(body).await;
        assert!(response.keep(b"no", After::Last));
        assert!(!response.has_begun());
        response.flush(alarm, PACE.idle).await.unwrap();
        assert!(response.has_begun());
    })
    .await;
    assert!(told.starts_with("ntinue\r\n\r\nHTTP/1.1 413 "), "{told}");
    assert!(!told.contains("502"), "{told}");
}

#[tokio::test]
async fn an_interim_response_does_not_end_the_wait() {
    let told = exchanged(25, async |body, response, alarm| {
        let extra = Fields::default();
        let interim = ResponseOut {
            body: BodyOut::None,
            ..head(103, &extra)
        };
        response.interim(interim, alarm, PACE.idle).await.unwrap();
        assert!(response.bytes() > 0 && !response.has_begun());
        poll_body(body).await;
    })
    .await;
    assert_eq!(
        told,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    );
}
