// The frame of every program here: flags, the `PORT n` line that tests wait for, checks with a plain message, exit 0 or 1.

import { readFileSync } from 'node:fs';

/** Splits the command line into flags (`--name` or `--name=value`) and the rest. */
export function commandLine(argv = process.argv.slice(2)) {
  const flags = new Map();
  const rest = [];
  for (const word of argv) {
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    if (match) flags.set(match[1], match[2] ?? true);
    else rest.push(word);
  }
  return { flags, rest };
}

/** The first argument, or an explanation of how to call the program and exit 2. */
export function required(rest, usage) {
  if (rest.length !== 1) {
    console.error(`usage: ${usage}`);
    process.exit(2);
  }
  return rest[0];
}

/** Says where a server listens, and stops it on SIGTERM, SIGINT or when the parent closes our standard input. */
export function serving(port, stop = () => process.exit(0)) {
  console.log(`PORT ${port}`);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  if (process.env.STOP_WITH_STDIN === '1') process.stdin.on('close', stop).resume();
}

/** Fails the run unless `condition` holds. */
export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Fails the run unless both are the same, and shows both. */
export function same(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: got ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`);
}

/** How long one check may take, in ms: three times the patience of a single event (`SEAWALL_PATIENCE`, seconds). */
export const PATIENCE = Number(process.env.SEAWALL_PATIENCE ?? 10) * 3000;

/** Rejects when `promise` has not settled in time: a test waits for an event and fails when it never comes. */
export function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done within ${PATIENCE / 1000} s`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Runs named checks in order, one line each; exits 1 with the first that fails. */
export async function play(checks) {
  for (const [name, run] of checks) {
    const begun = performance.now();
    try {
      await inTime(Promise.resolve().then(run), name);
    } catch (error) {
      console.log(`FAIL ${name}: ${error.message}`);
      if (process.env.SEAWALL_TEST_TRACE) console.log(error.stack);
      process.exit(1);
    }
    console.log(`ok   ${name} (${Math.round(performance.now() - begun)} ms)`);
  }
  console.log(`all ${checks.length} checks passed`);
  process.exit(0);
}

/** Bytes that differ from place to place, the same in every run, so that a lost or doubled chunk shows. */
export function pattern(length) {
  const bytes = Buffer.allocUnsafe(length);
  let state = 0x9e3779b9 ^ length;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** Certificate and key for a server that speaks TLS itself: `--cert=FILE --key=FILE`. */
export function certificate(flags) {
  if (!flags.has('cert') || !flags.has('key')) return undefined;
  return { cert: readFileSync(flags.get('cert')), key: readFileSync(flags.get('key')) };
}
