"""A client of HTTP/3 that knows nothing of Seawall (aioquic): `client.py SCENE HOST:PORT [--name=…] [key=value …]`.

Each scene says on standard output what it saw, as one line of JSON, and ends with 0; what is right is for the caller to say.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer, BufferReadError
from aioquic.h3.connection import H3_ALPN, FrameType, H3Connection, StreamType
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset
from aioquic.quic.logger import QuicLogger


class Answer:
    """What came of one request."""

    def __init__(self):
        self.status, self.fields, self.interim, self.body = 0, [], [], bytearray()
        self.trailers, self.reset = [], None
        self.done = asyncio.get_running_loop().create_future()

    def end(self):
        if not self.done.done():
            self.done.set_result(self)

    def length_is_right(self):
        said = dict(self.fields).get("content-length")
        return said is None or int(said) == len(self.body)

    def told(self):
        return {
            "status": self.status,
            "fields": [[name, value] for name, value in self.fields],
            "length": len(self.body),
            "body": bytes(self.body[:2000]).decode("latin-1"),
            "trailers": [[name, value] for name, value in self.trailers],
            "reset": self.reset,
        }


def text(pairs):
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]


class Http(H3Connection):
    """aioquic takes the length in an answer to HEAD for that of a body that should follow."""

    heads = frozenset()

    def _check_content_length(self, stream):
        if stream.stream_id not in self.heads:
            super()._check_content_length(stream)


class Leaving(Http):
    """Notes GOAWAY, which aioquic skips: streams from there on were not looked at (RFC 9114 section 5.2)."""

    goaway = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._raw = {}

    def _receive_stream_data_uni(self, stream, data, stream_ended):
        raw = self._raw[stream.stream_id] = self._raw.get(stream.stream_id, b"") + data
        buf = Buffer(data=raw)
        try:
            is_control = buf.pull_uint_var() == StreamType.CONTROL
            while is_control:
                kind, content = buf.pull_uint_var(), buf.pull_bytes(buf.pull_uint_var())
                if kind == FrameType.GOAWAY:
                    self.goaway = Buffer(data=content).pull_uint_var()
        except BufferReadError:
            pass
        return super()._receive_stream_data_uni(stream, data, stream_ended)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = Leaving(self._quic)
        self.answers, self.ended, self.handshake = {}, None, None
        self.tokens, self.reset = set(), False

    def datagram_received(self, data, addr):
        # RFC 9000 §10.3.1, which aioquic does not look for.
        if bytes(data[-16:]) in self.tokens:
            self.reset = True
        super().datagram_received(data, addr)

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.handshake = event
        if isinstance(event, ConnectionTerminated):
            self.ended = {"code": event.error_code, "reason": event.reason_phrase}
            for answer in self.answers.values():
                answer.end()
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            answer = self.answers[event.stream_id]
            answer.reset = event.error_code
            answer.end()
        for said in self.http.handle_event(event):
            answer = self.answers.get(said.stream_id)
            if answer is None:
                continue
            if isinstance(said, HeadersReceived):
                fields = text(said.headers)
                status = int(dict(fields).get(":status", 0))
                if 100 <= status < 200:
                    answer.interim.append(status)
                elif answer.status:
                    answer.trailers = fields
                else:
                    answer.status, answer.fields = status, fields
            if isinstance(said, DataReceived):
                answer.body += said.data
            if said.stream_ended:
                answer.end()

    def ask(self, method, path, name, fields=(), body=None, trailers=None, end=True):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        if method == "HEAD":
            self.http.heads |= {stream}
        head = [(":method", method), (":scheme", "https"), (":authority", name), (":path", path)]
        head = [(n.encode(), v.encode()) for n, v in head + list(fields)]
        last = end and body is None and trailers is None
        self.http.send_headers(stream, head, end_stream=last)
        if body is not None:
            self.http.send_data(stream, body, end_stream=end and trailers is None)
        if trailers is not None:
            self.http.send_headers(stream, [(n.encode(), v.encode()) for n, v in trailers], end_stream=end)
        return stream

    async def get(self, stream, within=20):
        self.transmit()
        return await asyncio.wait_for(self.answers[stream].done, within)


def configuration(name, **more):
    config = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name, **more)
    config.verify_mode = ssl.CERT_NONE
    config.quic_logger = QuicLogger()
    return config


def retried(config):
    """Whether the server sent a Retry, by aioquic's own log."""
    for trace in config.quic_logger.to_dict()["traces"]:
        for event in trace["events"]:
            if event["data"].get("header", {}).get("packet_type") == "retry":
                return True
    return False


async def get(at, name, more):
    config = configuration(name)
    fields = [tuple(pair.split(":", 1)) for pair in more.get("fields", "").split("|") if pair]
    async with connect(*at, configuration=config, create_protocol=Client) as client:
        stream = client.ask(more.get("method", "GET"), more.get("path", "/"), more.get("host", name), fields)
        answer = await client.get(stream)
        return dict(answer.told(), interim=answer.interim, retry=retried(config))


async def post(at, name, more):
    """A body of `bytes`, with trailers if asked for."""
    config = configuration(name)
    body = bytes(i % 251 for i in range(251)) * (int(more["bytes"]) // 251 + 1)
    body = body[: int(more["bytes"])]
    trailers = [("x-sum", "7")] if "trailers" in more else None
    async with connect(*at, configuration=config, create_protocol=Client) as client:
        stream = client.ask("POST", more.get("path", "/"), name, [], body, trailers)
        answer = await client.get(stream, 60)
        return dict(answer.told(), same=bytes(answer.body) == body)


async def many(at, name, more):
    """Requests at once on one connection."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        streams = []
        answers = []
        for nth in range(int(more["count"])):
            streams.append(client.ask("GET", f"{more.get('path', '/')}?{nth}", name))
            if len(streams) == 50:
                answers += [await client.get(stream) for stream in streams]
                streams = []
        answers += [await client.get(stream) for stream in streams]
        return {"statuses": sorted({answer.status for answer in answers}), "count": len(answers)}


async def move(at, name, more):
    """Changes its port in the middle of a connection, and with `to` its address; and says what it was answered before and after."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        answers = [(await client.get(client.ask("GET", "/.seawall/trace", name))).told()]
        for _ in range(int(more.get("times", "1"))):
            loop = asyncio.get_running_loop()
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((more.get("to", "::"), 0, 0, 0))
            old = client._transport
            client._transport, _ = await loop.create_datagram_endpoint(lambda: client, sock=sock)
            old.close()
            client._quic.change_connection_id()
            answers.append((await client.get(client.ask("GET", "/.seawall/trace", name))).told())
        return {"answers": answers}


async def early(at, name, more):
    """Two connections: the second sends `method` before its handshake, with the first one's ticket, and with its address token
    unless told otherwise."""
    tickets, tokens = [], []
    path = more.get("path", "/")
    async with connect(
        *at,
        configuration=configuration(name),
        create_protocol=Client,
        session_ticket_handler=tickets.append,
        token_handler=tokens.append,
    ) as client:
        first = (await client.get(client.ask("GET", path, name))).told()
        for _ in range(100):
            if tickets and tokens:
                break
            await asyncio.sleep(0.02)
    if not tickets or not tokens:
        raise SystemExit("no ticket, or no token")
    outcomes = []
    for _ in range(int(more.get("times", "1"))):
        config = configuration(name)
        config.session_ticket = tickets[0]
        if "no-token" not in more:
            config.token = tokens[0]
        async with connect(*at, configuration=config, create_protocol=Client, wait_connected=False) as client:
            body = b"x" * 100 if more.get("method") == "POST" else None
            stream = client.ask(more.get("method", "GET"), path, name, body=body)
            answer = (await client.get(stream)).told()
            while client.handshake is None:
                await asyncio.sleep(0.01)
            answer["accepted"] = client.handshake.early_data_accepted
            answer["resumed"] = client.handshake.session_resumed
            outcomes.append(answer)
    return {"first": first, "outcomes": outcomes}


def first_flight(name):
    """The datagrams of a client that begins."""
    quic = QuicConnection(configuration=configuration(name))
    quic.connect(("192.0.2.1", 1), now=0.0)
    return [data for data, _ in quic.datagrams_to_send(now=0.0)]


async def half_open(at, name, more):
    """Begins many connections and goes on with none; then asks as a client that does."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(int(more["count"])):
        for data in first_flight(name):
            sock.sendto(data, at)
        await asyncio.sleep(0.001)
    return await get(at, name, more)


async def amplify(at, name, more):
    """One first flight of a client that never answers: bytes sent and received, for so long."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sent = sum(sock.sendto(data, at) for data in first_flight(name))
    received = 0
    for _ in range(int(more.get("tenths", "20"))):
        await asyncio.sleep(0.1)
        while True:
            try:
                received += len(sock.recv(65536))
            except BlockingIOError:
                break
    return {"sent": sent, "received": received}


async def garbage(at, name, more):
    """Datagrams that make no sense, and versions that nobody speaks; then asks. Bytes sent and received meanwhile, by kind."""
    counts = {}
    initial = first_flight(name)[0]
    kinds = {
        "random": lambda n: os.urandom(1 + n % 1400),
        "short": lambda n: b"\x40" + os.urandom(20 + n % 1300),
        "long": lambda n: b"\xc0\x00\x00\x00\x01" + os.urandom(20 + n % 1300),
        "broken": lambda n: initial[:20] + os.urandom(1) + initial[21:],
        "cut": lambda n: initial[: 1 + n % len(initial)],
        "version": lambda n: b"\xc0\xfa\xce\xb0\x0c\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + bytes(1178),
        "small-version": lambda n: b"\xc0\xfa\xce\xb0\x0c\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + bytes(60),
    }
    for kind, make in kinds.items():
        # What comes late is counted where it belongs: each kind has a port of its own.
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sent = received = 0
        for n in range(int(more.get("count", "300"))):
            data = make(n)
            sent += sock.sendto(data, at)
            await asyncio.sleep(0)
            while True:
                try:
                    received += len(sock.recv(65536))
                except BlockingIOError:
                    break
        await asyncio.sleep(0.3)
        while True:
            try:
                received += len(sock.recv(65536))
            except BlockingIOError:
                break
        counts[kind] = [sent, received]
    return dict(await get(at, name, more), counts=counts)


async def raw(at, name, more):
    """Bytes, in hex, on a stream of the client's: `uni`, `bidi`, or both, several separated by `+`. How the connection, or the
    stream, ended."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        quic = client._quic
        stream = None
        for sent in more["send"].split("+"):
            way, data = sent.split(":")
            end = data.endswith(".")
            stream = quic.get_next_available_stream_id(is_unidirectional=way == "uni")
            client.answers[stream] = Answer()
            quic.send_stream_data(stream, bytes.fromhex(data.rstrip(".")), end_stream=end)
            client.transmit()
        for _ in range(200):
            await asyncio.sleep(0.01)
            if client.ended or client.answers[stream].reset is not None or client.answers[stream].done.done():
                break
        return {"ended": client.ended, "answer": client.answers[stream].told()}


async def cancel(at, name, more):
    """Begins and cancels requests until the connection ends."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        for nth in range(int(more["count"])):
            stream = client.ask("GET", more.get("path", "/"), name)
            client.transmit()
            await asyncio.sleep(0.002)
            client._quic.stop_stream(stream, 0x10C)
            client.transmit()
            if client.ended:
                break
        await asyncio.sleep(0.3)
        return {"ended": client.ended, "cancelled": nth + 1}


async def slow(at, name, more):
    """Asks for something that takes its time, says so once it has begun, and waits for it."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        stream = client.ask("GET", more.get("path", "/"), name)
        client.transmit()
        answer = client.answers[stream]
        while not answer.body and not answer.done.done():
            await asyncio.sleep(0.02)
        print("begun", flush=True)
        told = (await client.get(stream, float(more.get("seconds", "30")))).told()
        late = None
        if not client.ended:
            late = client.ask("GET", "/", name)
            try:
                late = (await client.get(late, 3)).told()
            except TimeoutError:
                late = None
        for _ in range(100):
            if client.ended:
                break
            await asyncio.sleep(0.05)
        return {"answer": told, "late": late, "ended": client.ended}


async def reset(at, name, more):
    """Asks for something, says so once it has it, and goes on until the connection is reset statelessly."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        first = (await client.get(client.ask("GET", "/.seawall/trace", name))).told()
        quic = client._quic
        client.tokens = {one.stateless_reset_token for one in [quic._peer_cid, *quic._peer_cid_available]}
        print("begun", flush=True)
        for nth in range(int(more.get("seconds", "10")) * 10):
            if client.reset:
                break
            quic.send_ping(nth)
            client.transmit()
            await asyncio.sleep(0.1)
        return {"first": first, "reset": client.reset}


async def websocket(at, name, more):
    """A WebSocket over an extended CONNECT (RFC 9220): one masked text frame, and what comes back."""
    async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
        stream = client._quic.get_next_available_stream_id()
        client.answers[stream] = answer = Answer()
        head = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", name),
            (":path", more.get("path", "/")), ("sec-websocket-version", "13"),
        ]
        client.http.send_headers(stream, [(n.encode(), v.encode()) for n, v in head])
        client.http.send_data(stream, b"\x81\x85\x00\x00\x00\x00hello", end_stream=False)
        client.transmit()
        for _ in range(200):
            await asyncio.sleep(0.02)
            if b"hello" in answer.body or answer.done.done():
                break
        return answer.told()


async def honour(at, name, more):
    """Asks without a pause until standard input ends, several at once, and honours GOAWAY as RFC 9114 section 5.2 says: goes on with a
    new connection, waits for what it had begun, and asks anew only for what the server says that it did not look at. With
    `heedless` it goes on asking on the old connection until it has ended."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    asked, told = 0, {"answered": 0, "connections": 0, "goaways": 0, "not_looked_at": 0, "rejected": 0, "lost": []}
    again = []

    async def one(client, nth):
        path = f"/?{nth}"
        stream = client.ask("GET", path, name)
        answer = await client.get(stream, 60)
        if answer.status == 200 and answer.reset is None and answer.length_is_right():
            told["answered"] += 1
        elif client.http.goaway is not None and stream >= client.http.goaway:
            told["not_looked_at"] += 1
            again.append(nth)
        elif answer.reset == 0x10B:
            told["rejected"] += 1
            again.append(nth)
        else:
            told["lost"].append([nth, answer.status, answer.reset, client.ended])

    async def connection():
        nonlocal asked
        told["connections"] += 1
        async with connect(*at, configuration=configuration(name), create_protocol=Client) as client:
            running = set()
            while not client.ended and (again or not ended.done()):
                if client.http.goaway is not None and "heedless" not in more:
                    break
                while len(running) < 4:
                    nth = again.pop() if again else asked
                    asked = max(asked, nth + 1)
                    running.add(asyncio.ensure_future(one(client, nth)))
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for left in running:
                await left
            told["goaways"] += client.http.goaway is not None

    while again or not ended.done():
        await connection()
    return dict(told, asked=asked)


def main():
    scene, at, *flags = sys.argv[1:]
    more = dict((flag.lstrip("-").split("=", 1) + [""])[:2] for flag in flags)
    url = urlsplit("//" + at)
    told = asyncio.run(globals()[scene.replace("-", "_")]((url.hostname, url.port), more.pop("name", "site.test"), more))
    print(json.dumps(told))


main()
