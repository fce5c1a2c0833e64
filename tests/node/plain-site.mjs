// A small real site as an origin. `plain-site.mjs` speaks HTTP/1.1; `--h2c` HTTP/2 with prior knowledge; `--cert=FILE
// --key=FILE` HTTP/1.1 and HTTP/2 over TLS. Prints `PORT n`.
//
// GET  /                 a page, with its /style.css and /logo.svg, validators and Cache-Control
// GET  /download?mib=64  that many MiB, with Content-Length and their X-Sha256
// GET  /stream?mib=8     the same without a length
// POST /upload           {"bytes", "sha256"} of the body, whatever its size
// GET  /slow?ms=1000     answers after that time
// GET  /drip?ms=100&n=10 sends n lines, one each ms
// GET  /trailers         a body and then trailers
// GET  /redirect         302 to /
// GET  /status/418       that status
// *    /echo             what the server saw: method, url, version, header fields
// GET  /counts           how many requests and connections came so far

import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import { certificate, commandLine, pattern, serving } from './program.mjs';

const MIB = 1024 * 1024;
const { flags } = commandLine();
const block = pattern(MIB);
const counts = { requests: 0, connections: 0 };
const begun = new Date(Math.floor(Date.now() / 1000) * 1000).toUTCString();

const STYLE = 'body{margin:3rem auto;max-width:40rem;font:1.1rem/1.6 system-ui,sans-serif;color:#123}h1{color:#0a6}\n';
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 32"><path d="M0 32V20q16-24 32 0t32 0v12z" fill="#0a6"/></svg>\n';
const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>A small site</title><link rel="stylesheet" href="/style.css"></head>
<body><img src="/logo.svg" alt="" width="64"><h1>A small site</h1>
<p>It stands in for somebody's real one. <a href="/download?mib=1">Download</a></p></body>
</html>
`;

/** The hash of `mib` blocks, computed once for each length that is asked for. */
const hashes = new Map();
function hashOfBlocks(mib) {
  if (!hashes.has(mib)) {
    const hash = createHash('sha256');
    for (let index = 0; index < mib; index += 1) hash.update(block);
    hashes.set(mib, hash.digest('hex'));
  }
  return hashes.get(mib);
}

function file(request, response, type, text) {
  const etag = `"${createHash('sha256').update(text).digest('hex').slice(0, 16)}"`;
  const fields = { 'content-type': type, etag, 'last-modified': begun, 'cache-control': 'public, max-age=60' };
  // Weak comparison (RFC 9110 §13.1.2).
  if (request.headers['if-none-match']?.replace(/^W\//, '') === etag) {
    response.writeHead(304, fields).end();
    return;
  }
  const body = Buffer.from(text);
  response.writeHead(200, { ...fields, 'content-length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Writes `mib` blocks as fast as the reader takes them. */
function blocks(response, mib, fields) {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'x-sha256': hashOfBlocks(mib), ...fields });
  let left = mib;
  const push = () => {
    while (left > 0) {
      if (response.destroyed) return;
      left -= 1;
      if (!response.write(block)) {
        response.once('drain', push);
        return;
      }
    }
    response.end();
  };
  push();
}

/** Text that compresses as prose does, with its length or without. */
function words(response, kib, chunked) {
  let text = '';
  for (let line = 0; text.length < kib * 1024; line += 1) text += `line ${line}: ${(line * 7919) % 1013} waves came in\n`;
  const body = Buffer.from(text.slice(0, kib * 1024));
  const fields = { 'content-type': 'text/plain; charset=utf-8', etag: '"words"', 'accept-ranges': 'bytes' };
  if (!chunked) fields['content-length'] = body.length;
  response.writeHead(200, fields);
  for (let at = 0; at < body.length; at += 10_000) response.write(body.subarray(at, at + 10_000));
  response.end();
}

function upload(request, response) {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  request.on('end', () => json(response, { bytes, sha256: hash.digest('hex') }));
}

function json(response, value) {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

function drip(response, every, count) {
  response.writeHead(200, { 'content-type': 'text/plain' });
  // The head alone, before any line.
  response.flushHeaders();
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    response.write(`line ${sent}\n`);
    if (sent >= count) {
      clearInterval(timer);
      response.end();
    }
  }, every);
  response.on('close', () => clearInterval(timer));
}

function trailers(response) {
  const fields = { 'content-type': 'text/plain' };
  if (!response.stream) fields.trailer = 'x-checksum';
  response.writeHead(200, fields);
  response.write('body, then trailers\n');
  response.addTrailers({ 'x-checksum': 'abc123' });
  response.end();
}

function answer(request, response) {
  counts.requests += 1;
  const url = new URL(request.url, 'http://site.test');
  const number = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);
  const status = /^\/status\/([2-5]\d\d)$/.exec(url.pathname);
  if (status) {
    response.writeHead(Number(status[1]), { 'content-type': 'text/plain' }).end(`status ${status[1]}\n`);
    return;
  }
  switch (url.pathname) {
    case '/': return file(request, response, 'text/html; charset=utf-8', PAGE);
    case '/style.css': return file(request, response, 'text/css', STYLE);
    case '/logo.svg': return file(request, response, 'image/svg+xml', LOGO);
    case '/download': return blocks(response, number('mib', 64), { 'content-length': number('mib', 64) * MIB });
    case '/stream': return blocks(response, number('mib', 8), {});
    case '/words': return words(response, number('kib', 64), url.searchParams.has('chunked'));
    case '/upload': return upload(request, response);
    case '/slow': return setTimeout(() => response.writeHead(200, { 'content-type': 'text/plain' }).end('at last\n'), number('ms', 1000));
    case '/drip': return drip(response, number('ms', 100), number('n', 10));
    case '/lone-event': return response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n');
    case '/trailers': return trailers(response);
    case '/redirect': return response.writeHead(302, { location: '/' }).end();
    case '/echo': return json(response, { method: request.method, url: request.url, version: request.httpVersion, headers: request.headers });
    case '/counts': return json(response, counts);
    default: return response.writeHead(404, { 'content-type': 'text/plain' }).end('no such page\n');
  }
}

const tls = certificate(flags);
const server = tls
  ? http2.createSecureServer({ ...tls, allowHTTP1: true })
  : flags.has('h2c') ? http2.createServer() : http.createServer({ keepAliveTimeout: 60_000 });

server.on('connection', () => { counts.connections += 1; });
server.on('request', (request, response) => {
  request.on('error', () => response.destroy?.());
  response.on('error', () => {});
  answer(request, response);
});
server.requestTimeout = 0;
if (flags.has('unix')) server.listen(flags.get('unix'), () => serving(0));
else server.listen(0, '127.0.0.1', () => serving(server.address().port));
