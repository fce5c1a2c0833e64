//! The harness against itself: its clients talk to its origins without an edge between.

use seawall_harness::answer::{Answer, leaves_pattern, pattern};
use seawall_harness::certificate::{self, Authority};
use seawall_harness::client::{Connection, Target};
use seawall_harness::client_h2::ClientH2;
use seawall_harness::frames::{self, FrameClient, block, code_name, frame};
use seawall_harness::origin::{Body, Origin, Reply, Speaks};
use seawall_harness::patience::patience;
use seawall_harness::vice::Vice;

fn plain(origin: &Origin) -> Target {
    Target {
        address: origin.address,
        tls: None,
    }
}

async fn ask(target: &Target, bytes: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(target).await.ok()?;
    connection.exchange("GET", bytes).await.ok()?
}

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn an_origin_answers_records_and_is_judged() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    let answer = ask(&plain(&origin), GET).await.unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.cut),
        (200, "o GET /x\n", None)
    );
    origin.reply(Reply {
        path: Some("/t".into()),
        body: Body::Pattern(200_000, 0),
        chunked: true,
        trailers: vec![("x-sum".into(), "1".into())],
        informational: vec![103],
        ..Reply::default()
    });
    let mut connection = Connection::open(&plain(&origin)).await.unwrap();
    let upload = pattern(300_000);
    let head = format!(
        "POST /t?q HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n",
        upload.len()
    );
    let answer = connection
        .exchange("POST", &[head.as_bytes(), &upload].concat())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (answer.body.len(), leaves_pattern(&answer.body, 0)),
        (200_000, None)
    );
    assert_eq!(
        (answer.informational.as_slice(), answer.trailer("x-sum")),
        ([103].as_slice(), Some("1"))
    );
    let again = connection.exchange("GET", GET).await.unwrap().unwrap();
    assert_eq!(again.text(), "o GET /x\n");
    assert_eq!((origin.requests(), origin.connections()), (3, 2));
    assert_eq!(origin.seen()[1].request.body, upload);
    assert!(origin.judge().is_empty());
}

#[tokio::test]
async fn dirty_bytes_are_a_verdict_once() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    let dirty = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(ask(&plain(&origin), dirty).await.unwrap().status, 400);
    let verdicts = origin.judge();
    assert!(
        verdicts.len() == 1 && verdicts[0].contains("together"),
        "{verdicts:?}"
    );
    assert!(origin.judge().is_empty());
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn vices_are_what_they_say() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    for (vice, status, whole) in [
        (Vice::ClosesMidBody, 200, false),
        (Vice::ResetsMidBody, 200, false),
        (Vice::ClosesMidChunks, 200, false),
        (Vice::ClosesInAChunk, 200, false),
        (Vice::ClosesMidHead, 0, false),
        (Vice::Unavailable, 503, true),
        (Vice::Drips, 200, true),
        (Vice::Continues, 200, true),
        (Vice::ManyInformational, 200, true),
        (Vice::UntilClose, 200, true),
        (Vice::EarlyResponse, 413, true),
        (Vice::PromisesLess, 200, true),
    ] {
        origin.take_on(vice, None);
        let answer = ask(&plain(&origin), GET)
            .await
            .unwrap_or_else(|| panic!("{vice:?} gave nothing"));
        assert_eq!(
            (answer.status, answer.cut.is_none()),
            (status, whole),
            "{vice:?}: {answer}"
        );
    }
    for vice in [
        Vice::ResetsOnAccept,
        Vice::ClosesOnAccept,
        Vice::ResetsAfterRequest,
        Vice::ClosesAfterRequest,
    ] {
        origin.take_on(vice, None);
        assert_eq!(ask(&plain(&origin), GET).await, None, "{vice:?}");
    }
    for vice in [
        Vice::LengthAndChunked,
        Vice::TwoLengths,
        Vice::BadChunk,
        Vice::NoReason,
        Vice::BadField,
        Vice::Garbage,
    ] {
        origin.take_on(vice, None);
        let mut connection = Connection::open(&plain(&origin)).await.unwrap();
        let outcome = connection.exchange("GET", GET).await;
        assert!(
            !matches!(&outcome, Ok(Some(answer)) if answer.cut.is_none()),
            "{vice:?}: {outcome:?}"
        );
    }
    origin.take_on(Vice::ClosesAfterRequest, Some(1));
    assert_eq!(ask(&plain(&origin), GET).await, None);
    assert_eq!(ask(&plain(&origin), GET).await.unwrap().status, 200);
    assert!(origin.judge().is_empty());
}

#[tokio::test]
async fn an_origin_refuses_and_comes_back() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    origin.take_on(Vice::Refuses, None);
    origin.settled().await.unwrap();
    assert!(Connection::open(&plain(&origin)).await.is_err());
    origin.take_on(Vice::None, None);
    origin.settled().await.unwrap();
    assert_eq!(ask(&plain(&origin), GET).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_gate_holds_an_answer() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    origin.reply(Reply {
        body: Body::Pattern(10_000, 0),
        body_gate: Some("g".into()),
        ..Reply::default()
    });
    let mut connection = Connection::open(&plain(&origin)).await.unwrap();
    connection.send(GET).await;
    while origin.requests() == 0 {
        tokio::task::yield_now().await;
    }
    origin.open_gate("g");
    assert_eq!(
        connection
            .response("GET")
            .await
            .unwrap()
            .unwrap()
            .body
            .len(),
        10_000
    );
}

#[tokio::test]
async fn http2_in_clear_and_over_tls() {
    let certified = Authority::known().unwrap().certify(&["o.test"]).unwrap();
    let tls = certificate::server(&certified, &["h2", "http/1.1"], None).unwrap();
    let clear = Origin::start("c", Speaks::H2, None).await.unwrap();
    let secure = Origin::start("s", Speaks::H2, Some(tls)).await.unwrap();
    let config = certificate::client(&["h2"], None, false).unwrap();
    for (origin, tls) in [
        (&clear, None),
        (&secure, Some((config, "o.test".to_owned()))),
    ] {
        origin.reply(Reply {
            body: Body::Pattern(500_000, 0),
            trailers: vec![("grpc-status".into(), "0".into())],
            ..Reply::default()
        });
        let client = ClientH2::open(&Target {
            address: origin.address,
            tls,
        })
        .await
        .unwrap();
        let request = http::Request::post("http://a.test/p").body(()).unwrap();
        let answer = client
            .exchange(request, pattern(400_000).into(), None)
            .await
            .unwrap();
        assert_eq!(
            (
                answer.status,
                answer.body.len(),
                answer.trailer("grpc-status")
            ),
            (200, 500_000, Some("0"))
        );
        assert_eq!(leaves_pattern(&answer.body, 0), None);
        assert_eq!(origin.seen()[0].request.body.len(), 400_000);
        for _ in 0..3 {
            let request = http::Request::get("http://a.test/again").body(()).unwrap();
            let answer = client
                .exchange(request, bytes::Bytes::new(), None)
                .await
                .unwrap();
            assert!(answer.status == 200 && answer.cut.is_none(), "{answer}");
        }
        origin.take_on(Vice::ResetsMidBody, None);
        let request = http::Request::get("http://a.test/p").body(()).unwrap();
        let answer = client
            .exchange(request, bytes::Bytes::new(), None)
            .await
            .unwrap();
        assert!(answer.status == 200 && answer.cut.is_some(), "{answer}");
    }
}

#[tokio::test]
async fn tls_origins_speak_http1_and_ask_for_certificates() {
    let authority = Authority::known().unwrap();
    let tls = certificate::server(
        &authority.certify(&["o.test"]).unwrap(),
        &["http/1.1"],
        Some(authority),
    )
    .unwrap();
    let origin = Origin::start("o", Speaks::H1, Some(tls)).await.unwrap();
    let own = authority.certify(&["client.test"]).unwrap();
    let target = |config| Target {
        address: origin.address,
        tls: Some((config, "o.test".to_owned())),
    };
    let known = target(certificate::client(&["http/1.1"], Some(&own), true).unwrap());
    assert_eq!(ask(&known, GET).await.unwrap().status, 200);
    let nobody = target(certificate::client(&["http/1.1"], None, false).unwrap());
    let refused = ask(&nobody, GET).await;
    assert!(
        refused.as_ref().is_none_or(|answer| answer.status == 0),
        "{refused:?}"
    );
}

#[tokio::test]
async fn tunnels_echo() {
    let origin = Origin::start("o", Speaks::H1, None).await.unwrap();
    origin.reply(Reply {
        tunnel: true,
        ..Reply::default()
    });
    let mut connection = Connection::open(&plain(&origin)).await.unwrap();
    let head =
        b"GET /c HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(
        connection
            .exchange("GET", head)
            .await
            .unwrap()
            .unwrap()
            .status,
        101
    );
    connection
        .send(b"\x81\x05hello, no HTTP at all\r\n\r\n")
        .await;
    assert_eq!(connection.raw(9).await.unwrap(), b"\x81\x05hello, ");
    assert!(origin.judge().is_empty());
    let far = Origin::start("f", Speaks::H2, None).await.unwrap();
    let client = ClientH2::open(&plain(&far)).await.unwrap();
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("http://a.test/c")
        .body(())
        .unwrap();
    let mut tunnel = client.tunnel(request, "websocket").await.unwrap();
    assert_eq!(tunnel.answer.status, 200);
    tunnel.send(b"hello", false).await.unwrap();
    assert_eq!(tunnel.receive(5).await.unwrap(), b"hello");
}

#[tokio::test]
async fn raw_frames_are_read_back() {
    let origin = Origin::start("o", Speaks::H2, None).await.unwrap();
    let mut client = FrameClient::open(&plain(&origin), true).await.unwrap();
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a.test"),
        (b":path", b"/raw"),
    ];
    client
        .write(&frame(
            frames::HEADERS,
            frames::END_HEADERS | frames::END_STREAM,
            1,
            &block(fields),
        ))
        .await;
    client
        .read_until(patience(), |seen| {
            seen.streams.get(&1).is_some_and(|stream| stream.ended)
        })
        .await
        .unwrap();
    assert_eq!(
        (
            client.streams[&1].status,
            client.streams[&1].body.as_slice()
        ),
        (200, b"o GET /raw\n".as_slice())
    );
    client
        .write(&frame(frames::DATA, 0, 0, b"on no stream"))
        .await;
    client
        .read_until(patience(), |seen| seen.goaway.is_some())
        .await
        .unwrap();
    assert_eq!(client.goaway.map(code_name), Some("PROTOCOL_ERROR"));
}
