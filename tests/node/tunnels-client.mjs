// WebSockets that stay open while the edge between is upgraded: `tunnels-client.mjs http://HOST:PORT https://HOST:PORT` (any
// certificate), before ws-echo-server.mjs. One over HTTP/1.1, one over TLS, one over HTTP/2 by extended CONNECT (RFC 8441).
//
// Prints `open` once all of them are. Each line of standard input goes through all of them and must come back: `echoed LINE`.
// One that ends is told: `ended NAME`. It stops with its input.

import http2 from 'node:http2';
import net from 'node:net';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { check, commandLine, inTime, same } from './program.mjs';
import { FrameReader, frame, TEXT } from './websocket-frames.mjs';

const { rest } = commandLine();
if (rest.length !== 2) {
  console.error('usage: tunnels-client.mjs http://HOST:PORT https://HOST:PORT');
  process.exit(2);
}
const [plain, secure] = rest.map((base) => new URL(base));

/** What is said through it, frame by frame; how it ends is all the same. */
function tunnel(name, stream, early) {
  const frames = new FrameReader();
  if (early.length > 0) frames.push(early);
  stream.on('data', (chunk) => frames.push(chunk));
  stream.on('error', () => {});
  stream.on('close', () => {
    frames.end();
    console.log(`ended ${name}`);
  });
  return { name, stream, frames };
}

/** By an upgrade of HTTP/1.1. The key is that of RFC 6455 §1.3. */
function upgraded(name, socket) {
  socket.write('GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    socket.once('error', reject);
    socket.on('data', function onHead(chunk) {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onHead);
      const head = answer.subarray(0, end).toString('latin1');
      if (!head.startsWith('HTTP/1.1 101 ')) reject(new Error(`${name}: ${head}`));
      else resolve(tunnel(name, socket, answer.subarray(end + 4)));
    });
  });
}

async function connected(name) {
  const session = http2.connect(secure, { rejectUnauthorized: false });
  session.on('error', () => {});
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'https',
    ':path': '/chat',
    ':authority': 'a.test',
    'sec-websocket-version': '13',
  }, { endStream: false });
  const head = await new Promise((resolve, reject) => {
    stream.once('response', resolve);
    stream.once('error', reject);
  });
  same(head[':status'], 200, 'status of extended CONNECT');
  return tunnel(name, stream, Buffer.alloc(0));
}

/** The same text through all of them, and back. */
async function say(text) {
  await Promise.all(tunnels.map(async ({ name, stream, frames }) => {
    stream.write(frame(TEXT, Buffer.from(text)));
    const answer = await frames.next();
    check(answer !== undefined, `${name} has ended`);
    same(answer.payload.toString(), text, `echo of ${name}`);
  }));
}

const at = ({ hostname: host, port }) => ({ host, port: Number(port) });
const tunnels = await inTime(Promise.all([
  upgraded('h1', net.connect(at(plain))),
  upgraded('h1-tls', tls.connect({ ...at(secure), rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })),
  connected('h2'),
]), 'the tunnels');
console.log('open');

for await (const line of createInterface({ input: process.stdin })) {
  await inTime(say(line), line);
  console.log(`echoed ${line}`);
}
process.exit(0);
