// Plays the clients against the origins without an edge between them, so that a failing end-to-end test blames the edge and
// not its tools. WebSocket over HTTP/2 needs something in front of an HTTP/1.1 origin: a bridge of a few lines stands in.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'seawall-node-'));
const children = [];
const at = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Starts a server program; resolves with its port. */
function start(name, ...words) {
  const child = spawn(process.execPath, [at(name), ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
      const port = /^PORT (\d+)$/m.exec(said);
      if (port) resolve(Number(port[1]));
    });
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code} before it listened`)));
  });
}

/** Runs a client program to its end; rejects unless it exits 0. */
function run(name, ...words) {
  console.log(`# ${name} ${words.join(' ')}`);
  const child = spawn(process.execPath, [at(name), ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${name} ${words.join(' ')} exited with ${code}`))));
  });
}

/** An HTTP/2 server that turns extended CONNECT into an HTTP/1.1 upgrade at `port`, and anything else into 200. */
function bridge(port, tls) {
  const settings = { enableConnectProtocol: true };
  const server = tls ? http2.createSecureServer({ ...tls, settings }) : http2.createServer({ settings });
  server.on('stream', (stream, head) => {
    stream.on('error', () => {});
    if (head[':method'] !== 'CONNECT') {
      stream.respond({ ':status': 200 });
      stream.end();
      return;
    }
    const upstream = net.connect(port, '127.0.0.1');
    upstream.on('error', () => stream.close());
    upstream.write(`GET ${head[':path']} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
      + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    let answer = Buffer.alloc(0);
    upstream.on('data', function onHead(chunk) {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return;
      upstream.off('data', onHead);
      const status = Number(answer.subarray(9, 12));
      stream.respond({ ':status': status === 101 ? 200 : status });
      stream.write(answer.subarray(end + 4));
      stream.pipe(upstream);
      upstream.pipe(stream);
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

try {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
    '-subj', '/CN=site.test', '-addext', 'subjectAltName=DNS:site.test', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const tls = { cert: readFileSync(cert), key: readFileSync(key) };

  const sockets = await start('ws-echo-server.mjs');
  await run('ws-client.mjs', `http://127.0.0.1:${sockets}/`);
  await run('ws-client.mjs', `http://127.0.0.1:${sockets}/`, '--host=site.test');

  const calls = await start('grpc-server.mjs');
  await run('grpc-client.mjs', `127.0.0.1:${calls}`);

  const sealed = await start('grpc-server.mjs', `--cert=${cert}`, `--key=${key}`);
  await run('grpc-client.mjs', `127.0.0.1:${sealed}`, '--tls');
  await run('grpc-client.mjs', `127.0.0.1:${sealed}`, '--tls', '--authority=site.test');

  const clear = await start('plain-site.mjs', '--h2c');
  await run('h2-client.mjs', `http://127.0.0.1:${clear}`);
  const secure = await start('plain-site.mjs', `--cert=${cert}`, `--key=${key}`);
  await run('h2-client.mjs', `https://127.0.0.1:${secure}`, '--host=site.test');

  await run('h2-client.mjs', `https://127.0.0.1:${await bridge(sockets, tls)}`, '--origin=ws');
  await run('h2-client.mjs', `http://127.0.0.1:${await bridge(sockets)}`, '--origin=ws');

  const plain = await start('plain-site.mjs');
  const page = await fetch(`http://127.0.0.1:${plain}/`);
  if (!(await page.text()).includes('<title>')) throw new Error('plain-site.mjs: no page over HTTP/1.1');
  const upload = await fetch(`http://127.0.0.1:${plain}/upload`, { method: 'POST', body: 'abc' });
  if ((await upload.json()).sha256 !== 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad') throw new Error('plain-site.mjs: wrong hash');
  console.log('the tools agree with each other');
} catch (error) {
  console.log(`FAIL ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
  process.exit();
}
