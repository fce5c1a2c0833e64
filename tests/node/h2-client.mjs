// Checks HTTP/2 from the client's side with node's own implementation (nghttp2). `h2-client.mjs https://127.0.0.1:PORT`
// (any certificate) or `http://…` (prior knowledge).
//
// What is behind the edge decides which checks make sense: `--origin=site` (plain-site.mjs, the default) or `--origin=ws`
// (ws-echo-server.mjs): WebSocket over HTTP/2 (RFC 8441), with frames made by hand, since no client library offers it.

import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import { check, commandLine, pattern, play, required, same } from './program.mjs';
import { FrameReader, frame, TEXT, BINARY, CLOSE, PING, PONG } from './websocket-frames.mjs';

const { flags, rest } = commandLine();
const base = required(rest, 'h2-client.mjs URL [--origin=site|ws] [--host=NAME]');
const host = flags.get('host');

const options = { rejectUnauthorized: false };
if (host) options.servername = host;
const session = http2.connect(base, options);
session.on('error', (error) => console.log(`connection: ${error.message}`));

/** Sends one request and collects the whole answer. */
function ask(fields, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ...(host ? { ':authority': host } : {}), ...fields }, { endStream: body === undefined });
    const answer = { informational: [], trailers: {} };
    const chunks = [];
    stream.on('headers', (head) => answer.informational.push(head[':status']));
    stream.on('response', (head) => Object.assign(answer, { head, status: head[':status'] }));
    stream.on('trailers', (trailers) => { answer.trailers = trailers; });
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => resolve({ ...answer, body: Buffer.concat(chunks) }));
    stream.on('error', reject);
    stream.on('close', () => reject(new Error(`stream closed with code ${stream.rstCode} before its end`)));
    if (body !== undefined) stream.end(body);
  });
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

const site = [
  ['GET a page', async () => {
    const { status, head, body } = await ask({ ':path': '/' });
    same(status, 200, 'status');
    same(head['content-type'], 'text/html; charset=utf-8', 'content-type');
    check(head['seawall-ray'] === undefined || /^[0-9a-f]{16}-/.test(head['seawall-ray']), `ray ${head['seawall-ray']}`);
    check(body.includes('<title>'), 'no page in the body');
  }],
  ['HEAD has the length and no body', async () => {
    const { status, head, body } = await ask({ ':method': 'HEAD', ':path': '/style.css' });
    same(status, 200, 'status');
    check(Number(head['content-length']) > 0, 'no content-length');
    same(body.length, 0, 'body');
  }],
  ['POST bodies of 0 byte to 4 MiB arrive whole', async () => {
    for (const size of [0, 1, 16_384, 65_535, 65_536, 1_048_576, 4_194_304]) {
      const sent = pattern(size);
      const { status, body } = await ask({ ':method': 'POST', ':path': '/upload' }, sent);
      same(status, 200, `status for ${size} bytes`);
      const { bytes, sha256: hash } = JSON.parse(body);
      same(bytes, size, 'bytes');
      same(hash, sha256(sent), 'sha256');
    }
  }],
  ['a body of known length keeps its content-length', async () => {
    const sent = pattern(10_000);
    const { status, body } = await ask({ ':method': 'PUT', ':path': '/upload', 'content-length': String(sent.length) }, sent);
    same(status, 200, 'status');
    same(JSON.parse(body).sha256, sha256(sent), 'sha256');
  }],
  ['trailers of the origin arrive', async () => {
    const { status, trailers, body } = await ask({ ':path': '/trailers', te: 'trailers' });
    same(status, 200, 'status');
    same(body.toString(), 'body, then trailers\n', 'body');
    same(trailers['x-checksum'], 'abc123', 'trailer');
  }],
  ['cookies in several fields arrive as one', async () => {
    const { body } = await ask({ ':path': '/echo', cookie: ['a=1', 'b=2'] });
    same(JSON.parse(body).headers.cookie, 'a=1; b=2', 'cookie');
  }],
  ['a hundred requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => ask({ ':path': `/echo?n=${index}` })));
    answers.forEach(({ status, body }, index) => {
      same(status, 200, 'status');
      same(JSON.parse(body).url, `/echo?n=${index}`, 'which request was answered');
    });
  }],
  ['a slow answer does not hold up a fast one', async () => {
    let slowIsDone = false;
    const slow = ask({ ':path': '/slow?ms=1500' }).then((answer) => {
      slowIsDone = true;
      return answer;
    });
    same((await ask({ ':path': '/' })).status, 200, 'status of the fast one');
    check(!slowIsDone, 'the fast answer came after the slow one');
    same((await slow).status, 200, 'status of the slow one');
  }],
  ['a 64 MiB download arrives whole', async () => {
    const { status, head, body } = await ask({ ':path': '/download?mib=64' });
    same(status, 200, 'status');
    same(body.length, 64 * 1024 * 1024, 'bytes');
    same(sha256(body), head['x-sha256'], 'sha256');
  }],
  ['a stream that is given up leaves the others alone', async () => {
    const stream = session.request({ ':path': '/download?mib=64', ...(host ? { ':authority': host } : {}) });
    await new Promise((resolve, reject) => {
      stream.once('data', resolve);
      stream.once('error', reject);
    });
    stream.close(http2.constants.NGHTTP2_CANCEL);
    same((await ask({ ':path': '/' })).status, 200, 'status');
  }],
];

/** Opens a WebSocket by extended CONNECT; resolves with the stream and a queue of frames. */
async function webSocket(path = '/') {
  const { protocol } = new URL(base);
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': protocol.slice(0, -1),
    ':path': path,
    ':authority': host ?? new URL(base).host,
    'sec-websocket-version': '13',
    origin: 'https://example.test',
  }, { endStream: false });
  const frames = new FrameReader();
  stream.on('data', (chunk) => frames.push(chunk));
  stream.on('end', () => frames.end());
  stream.on('error', (error) => frames.fail(error));
  const head = await new Promise((resolve, reject) => {
    stream.once('response', resolve);
    stream.once('error', reject);
  });
  return { stream, frames, head };
}

const tunnel = [
  ['the server offers extended CONNECT', async () => {
    if (!session.remoteSettings?.maxFrameSize) await new Promise((resolve) => session.once('remoteSettings', resolve));
    same(session.remoteSettings.enableConnectProtocol, true, 'SETTINGS_ENABLE_CONNECT_PROTOCOL');
  }],
  ['WebSocket echo, 1 byte to 1 MiB', async () => {
    const { stream, frames, head } = await webSocket();
    same(head[':status'], 200, 'status');
    same(head['sec-websocket-accept'], undefined, 'sec-websocket-accept (HTTP/1.1 only)');
    for (const size of [1, 125, 126, 65_535, 65_536, 1_048_576]) {
      stream.write(frame(BINARY, pattern(size)));
      const answer = await frames.next();
      same(answer.opcode, BINARY, 'opcode');
      check(answer.payload.equals(pattern(size)), `the echo of ${size} bytes differs`);
    }
    stream.write(frame(TEXT, Buffer.from('grüße')));
    same((await frames.next()).payload.toString(), 'grüße', 'text');
    stream.write(frame(PING, Buffer.from('p')));
    const pong = await frames.next();
    same(pong.opcode, PONG, 'opcode');
    stream.write(frame(CLOSE, Buffer.from([0x03, 0xe8])));
    const closed = await frames.next();
    same(closed.opcode, CLOSE, 'opcode');
    same(closed.payload.readUInt16BE(0), 1000, 'close code');
    stream.end();
    same(await frames.next(), undefined, 'nothing after the close frame');
  }],
  ['the close code of the origin arrives', async () => {
    const { stream, frames } = await webSocket('/close/4001');
    const closed = await frames.next();
    same(closed.opcode, CLOSE, 'opcode');
    same(closed.payload.readUInt16BE(0), 4001, 'close code');
    stream.end(frame(CLOSE, closed.payload.subarray(0, 2)));
  }],
  ['a refused tunnel shows the origin\'s own status', async () => {
    const { stream, head } = await webSocket('/refuse');
    same(head[':status'], 403, 'status');
    stream.close();
  }],
  ['ten tunnels and plain requests share one connection', async () => {
    const tunnels = await Promise.all(Array.from({ length: 10 }, () => webSocket()));
    await Promise.all(tunnels.map(async ({ stream, frames }, index) => {
      stream.write(frame(TEXT, Buffer.from(`tunnel ${index}`)));
      same((await frames.next()).payload.toString(), `tunnel ${index}`, 'echo');
    }));
    same((await ask({ ':path': '/plain' })).status, 200, 'status of a plain request');
    for (const { stream } of tunnels) stream.close();
  }],
];

const kind = flags.get('origin') ?? 'site';
check(kind === 'site' || kind === 'ws', `--origin=${kind} is neither site nor ws`);
await play(kind === 'site' ? site : tunnel);
