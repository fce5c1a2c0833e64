// WebSocket frames (RFC 6455 §5.2), as little as a test needs: masked frames to send, unfragmented ones to receive.

import { randomBytes } from 'node:crypto';

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** One masked frame, as a client must send it. */
export function frame(opcode, payload) {
  const length = payload.length;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended + 4);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  const mask = randomBytes(4);
  mask.copy(head, 2 + extended);
  const masked = Buffer.from(payload);
  for (let at = 0; at < length; at += 1) masked[at] ^= mask[at & 3];
  return Buffer.concat([head, masked]);
}

/** Takes bytes as they come and hands out frames one by one; `undefined` after the end. */
export class FrameReader {
  #bytes = Buffer.alloc(0);
  #frames = [];
  #waiting = [];
  #ended = false;
  #error;

  push(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (let found = this.#take(); found; found = this.#take()) this.#deliver(found);
  }

  end() {
    this.#ended = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(undefined);
  }

  fail(error) {
    this.#error = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  next() {
    if (this.#frames.length > 0) return Promise.resolve(this.#frames.shift());
    if (this.#error) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #deliver(found) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve(found);
    else this.#frames.push(found);
  }

  #take() {
    const bytes = this.#bytes;
    if (bytes.length < 2) return undefined;
    if (bytes[1] & 0x80) throw new Error('a server must not mask its frames');
    let length = bytes[1] & 0x7f;
    let start = 2;
    if (length === 126) {
      if (bytes.length < 4) return undefined;
      length = bytes.readUInt16BE(2);
      start = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return undefined;
      length = Number(bytes.readBigUInt64BE(2));
      start = 10;
    }
    if (bytes.length < start + length) return undefined;
    this.#bytes = bytes.subarray(start + length);
    return { opcode: bytes[0] & 0x0f, payload: bytes.subarray(start, start + length) };
  }
}
