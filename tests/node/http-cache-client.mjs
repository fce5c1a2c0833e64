// The public suite of tests for HTTP caches (npm `http-cache-tests`), played against a cache: `http-cache-client.mjs URL`.
//
// A required test may fail only if `http-cache-exceptions.json` says why; one that stands there and passes has to go from there,
// so the list only ever becomes shorter. Of the optimal tests at least 81 % must pass.

import { readFileSync } from 'node:fs';
import fetch from 'node-fetch';
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs';
import suites from 'http-cache-tests/tests/index.mjs';
import { commandLine, required } from './program.mjs';

const LEAST_OPTIMAL = 0.81;

const url = required(commandLine().rest, 'http-cache-client.mjs URL');
const exceptions = JSON.parse(readFileSync(new URL('http-cache-exceptions.json', import.meta.url)));

const say = console.log;
console.log = () => {};
await runTests(suites, fetch, false, url);
console.log = say;

const results = getResults();
const tests = suites.flatMap((suite) => suite.tests).filter((test) => !test.browser_only);
const counts = {};
const wrong = [];
for (const test of tests) {
  const kind = test.kind ?? 'required';
  // A test says nothing where what it builds upon is not so, or where it could not be set up.
  const stands = (test.depends_on ?? []).every((id) => results[id] === true);
  const result = results[test.id];
  const outcome = !stands ? 'not judged' : result === true ? 'passed' : result?.[0] === 'Setup' ? 'not judged' : 'failed';
  counts[kind] ??= { passed: 0, failed: 0, 'not judged': 0 };
  counts[kind][outcome] += 1;
  if (outcome !== 'passed' && kind !== 'check') say(`${kind} ${outcome}: ${test.id}${result?.[1] ? `: ${result[1]}` : ''}`);
  if (kind !== 'required') continue;
  if (outcome === 'failed' && !exceptions[test.id]) wrong.push(`${test.id} failed: ${result?.[1]}`);
  if (outcome === 'passed' && exceptions[test.id]) wrong.push(`${test.id} passes: take it out of http-cache-exceptions.json`);
}
say(JSON.stringify(counts));
const { passed } = counts.optimal;
const optimal = Object.values(counts.optimal).reduce((sum, count) => sum + count);
if (passed < LEAST_OPTIMAL * optimal) wrong.push(`of ${optimal} optimal tests only ${passed} passed`);
if (wrong.length > 0) {
  console.error(wrong.join('\n'));
  process.exit(1);
}
say(`${tests.length} checks passed, but for what is said above`);
process.exit(0);
