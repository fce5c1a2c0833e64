// A WebSocket origin that returns every message as it came. `ws-echo-server.mjs`; prints `PORT n`.
//
// Paths: `/` echoes; `/close/4001` closes with that code; `/refuse` answers the upgrade with 403; anything else over plain
// HTTP says what the server saw, so that a test can look at the upgrade's header fields.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { serving } from './program.mjs';

const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: 16 * 1024 * 1024,
  handleProtocols: (offered) => (offered.has('echo') ? 'echo' : false),
});

const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers }));
});

server.on('upgrade', (request, socket, head) => {
  if (request.url === '/refuse') {
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\nConnection: close\r\n\r\nrefused\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (peer) => {
    const wanted = /^\/close\/(\d{4})$/.exec(request.url);
    if (wanted) {
      peer.close(Number(wanted[1]), 'as asked');
      return;
    }
    peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
    peer.on('error', () => peer.terminate());
  });
});

server.listen(0, '127.0.0.1', () => serving(server.address().port));
