// A gRPC origin over HTTP/2: with prior knowledge, or over TLS with `--cert=FILE --key=FILE`. Prints `PORT n`.

import grpc from '@grpc/grpc-js';
import { Echo } from './echo-proto.mjs';
import { certificate, commandLine, pattern, serving } from './program.mjs';

/** Copies what the client sent as `x-echo` into initial and trailing metadata, to see both arrive. */
function answerMetadata(call) {
  const metadata = new grpc.Metadata();
  for (const value of call.metadata.get('x-echo')) metadata.add('x-echo', value);
  return metadata;
}

const server = new grpc.Server({
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
});

server.addService(Echo.service, {
  Unary(call, done) {
    call.sendMetadata(answerMetadata(call));
    const trailer = new grpc.Metadata();
    trailer.set('x-trailer', 'unary');
    done(null, call.request, trailer);
  },
  ServerStream(call) {
    const { messages, bytes } = call.request;
    let number = 0;
    const push = () => {
      while (number < messages) {
        number += 1;
        if (!call.write({ payload: pattern(bytes), number })) {
          call.once('drain', push);
          return;
        }
      }
      call.end();
    };
    push();
  },
  ClientStream(call, done) {
    const total = { messages: 0, bytes: 0 };
    call.on('data', (message) => {
      total.messages += 1;
      total.bytes += message.payload.length;
    });
    call.on('end', () => done(null, total));
  },
  Both(call) {
    call.on('data', (message) => call.write(message));
    call.on('end', () => call.end());
  },
  Fail(call, done) {
    const metadata = new grpc.Metadata();
    metadata.set('x-why', 'because the test asked for it');
    done({ code: grpc.status.FAILED_PRECONDITION, details: 'no: 100 % refused, é', metadata });
  },
});

const tls = certificate(commandLine().flags);
const credentials = tls
  ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])
  : grpc.ServerCredentials.createInsecure();

server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
  if (error) {
    console.error(`cannot listen: ${error.message}`);
    process.exit(1);
  }
  serving(port);
});
