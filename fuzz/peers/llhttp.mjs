// Node's own parser of HTTP/1, llhttp, as a program that answers questions: what do these bytes mean to you?
//
// Question: four bytes of length (big-endian), then the bytes of requests. Answer: four bytes of length, then JSON:
// { messages: [{ major, minor, method, url, lines: [[name, value]…], keepAlive, upgrade, body, trailers }],
//   complete: how many of them are, error: llhttp's code or null }. Texts are in Latin-1, one character for each byte.

import { readSync, writeSync } from 'node:fs';

const { HTTPParser, allMethods } = process.binding('http_parser');

function read(bytes) {
  const messages = [];
  let complete = 0;
  let early = [];
  let url = '';
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  // Lines come in heaps of 32, before the head is complete and, as trailers, behind the body.
  parser[HTTPParser.kOnHeaders | 0] = (lines, more) => {
    if (messages.length > complete) {
      messages.at(-1).trailers.push(...pairs(lines));
    } else {
      early.push(...lines);
      url += more;
    }
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, lines, method, target, _s, _r, upgrade, keepAlive) => {
    messages.push({
      major, minor, upgrade, keepAlive,
      method: allMethods[method],
      url: target === undefined ? url : url + target,
      lines: pairs(early.concat(lines ?? [])),
      body: '', trailers: [],
    });
    early = [];
    url = '';
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (body) => { messages.at(-1).body += body.latin1Slice(); };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { complete += 1; };
  const outcome = parser.execute(bytes);
  const error = outcome instanceof Error ? outcome.code : null;
  parser.close();
  return { messages, complete, error };
}

function pairs(flat) {
  const all = [];
  for (let at = 0; at + 1 < flat.length; at += 2) all.push([flat[at], flat[at + 1]]);
  return all;
}

function exactly(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    const got = readSync(0, bytes, at, length - at);
    if (got === 0) process.exit(0);
    at += got;
  }
  return bytes;
}

for (;;) {
  const said = Buffer.from(JSON.stringify(read(exactly(exactly(4).readUInt32BE()))), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(said.length);
  const answer = Buffer.concat([length, said]);
  for (let at = 0; at < answer.length;) at += writeSync(1, answer, at);
}
