// The origin of the public suite of tests for HTTP caches (npm `http-cache-tests`), as it is. Prints `PORT n`.

import http from 'node:http';
import handleConfig from 'http-cache-tests/server/handle-config.mjs';
import handleState from 'http-cache-tests/server/handle-state.mjs';
import handleTest from 'http-cache-tests/server/handle-test.mjs';
import { serving } from './program.mjs';

const handlers = { config: handleConfig, state: handleState, test: handleTest };
const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  const [kind, ...segments] = pathname.split('/').slice(1);
  const handle = handlers[kind];
  if (!handle) return response.writeHead(404).end();
  return handle(segments, request, response);
});
server.listen(0, '127.0.0.1', () => serving(server.address().port));
