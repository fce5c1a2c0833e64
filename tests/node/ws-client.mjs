// Checks a WebSocket echo from the client's side. `ws-client.mjs http://127.0.0.1:PORT/` or `https://…` (any certificate).
// `--host=NAME` sends that Host (and SNI over TLS).

import WebSocket from 'ws';
import { check, commandLine, pattern, play, required, same } from './program.mjs';

const { flags, rest } = commandLine();
const base = required(rest, 'ws-client.mjs URL [--host=NAME]').replace(/^http/, 'ws');
const host = flags.get('host');

/** Opens a connection; resolves when it is open. */
function open(path = '/', protocols = []) {
  const options = { rejectUnauthorized: false, perMessageDeflate: false, maxPayload: 16 * 1024 * 1024 };
  if (host) Object.assign(options, { headers: { host }, servername: host });
  const socket = new WebSocket(new URL(path, base), protocols, options);
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket));
    socket.once('error', reject);
    socket.once('unexpected-response', (_, response) => reject(Object.assign(new Error(`status ${response.statusCode}`), { status: response.statusCode })));
  });
}

/** The next event of a socket; an error or an early close rejects. */
function next(socket, event) {
  return new Promise((resolve, reject) => {
    const settle = (action) => (...values) => {
      socket.off(event, done);
      socket.off('error', failed);
      socket.off('close', closed);
      action(values);
    };
    const done = settle(resolve);
    const failed = settle(([error]) => reject(error));
    const closed = settle(([code]) => reject(new Error(`closed with ${code} while waiting for ${event}`)));
    socket.once(event, done);
    socket.once('error', failed);
    if (event !== 'close') socket.once('close', closed);
  });
}

async function echoes(socket, message, isBinary) {
  const answer = next(socket, 'message');
  socket.send(message, { binary: isBinary });
  const [data, binary] = await answer;
  same(binary, isBinary, 'kind of message');
  check(Buffer.from(message).equals(data), `the echo of ${message.length} bytes differs`);
}

async function closesWith(socket, code, reason) {
  const closed = next(socket, 'close');
  socket.close(code, reason);
  const [answered] = await closed;
  same(answered, code, 'close code');
}

await play([
  ['text and binary, 1 byte to 1 MiB', async () => {
    const socket = await open();
    for (const size of [1, 2, 125, 126, 127, 1000, 65_535, 65_536, 262_144, 1_048_576]) {
      await echoes(socket, pattern(size), true);
      await echoes(socket, 'é'.repeat(Math.ceil(size / 2)), false);
    }
    await closesWith(socket, 1000, 'done');
  }],
  ['an empty message', async () => {
    const socket = await open();
    await echoes(socket, Buffer.alloc(0), true);
    await echoes(socket, '', false);
    await closesWith(socket, 1000);
  }],
  ['ping and pong', async () => {
    const socket = await open();
    const pong = next(socket, 'pong');
    socket.ping('are you there');
    const [payload] = await pong;
    same(payload.toString(), 'are you there', 'payload of the pong');
    await closesWith(socket, 1000);
  }],
  ['many messages in flight keep their order', async () => {
    const socket = await open();
    const expected = Array.from({ length: 200 }, (_, index) => `${index}:${'x'.repeat(index * 37 % 3000)}`);
    const seen = [];
    const all = new Promise((resolve, reject) => {
      socket.on('message', (data) => {
        seen.push(data.toString());
        if (seen.length === expected.length) resolve();
      });
      socket.once('error', reject);
    });
    for (const message of expected) socket.send(message);
    await all;
    expected.forEach((message, index) => same(seen[index], message, `message ${index}`));
    await closesWith(socket, 1000);
  }],
  ['close codes of the client reach the origin and come back', async () => {
    for (const code of [1000, 1001, 3000, 4999]) await closesWith(await open(), code, `code ${code}`);
  }],
  ['close codes of the origin reach the client', async () => {
    for (const code of [1000, 1011, 4001]) {
      const socket = await open(`/close/${code}`);
      const [answered, reason] = await next(socket, 'close');
      same(answered, code, 'close code');
      same(reason.toString(), 'as asked', 'reason');
    }
  }],
  ['a subprotocol is negotiated', async () => {
    const socket = await open('/', ['other', 'echo']);
    same(socket.protocol, 'echo', 'subprotocol');
    await closesWith(socket, 1000);
  }],
  ['a refused upgrade shows the origin\'s own status', async () => {
    const error = await open('/refuse').then(() => new Error('it was accepted'), (refusal) => refusal);
    same(error.status, 403, `status of the refusal (${error.message})`);
  }],
]);
