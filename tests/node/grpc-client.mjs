// Checks gRPC from the client's side. `grpc-client.mjs HOST:PORT [--tls]`: h2c, or TLS with any certificate.
// `--authority=NAME` sends that :authority (and SNI over TLS).

import grpc from '@grpc/grpc-js';
import { Echo } from './echo-proto.mjs';
import { PATIENCE, check, commandLine, pattern, play, required, same } from './program.mjs';

const { flags, rest } = commandLine();
const target = required(rest, 'grpc-client.mjs HOST:PORT [--tls] [--authority=NAME]');

/** TLS that takes any certificate: a first run serves a self-signed one. */
function anyCertificate() {
  return grpc.credentials.createSsl(null, null, null, { checkServerIdentity: () => undefined, rejectUnauthorized: false });
}

const options = {
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.enable_retries': 0, // a failure of the edge must show, not be repaired
  'grpc.enable_http_proxy': 0,
};
if (flags.has('authority')) {
  options['grpc.default_authority'] = flags.get('authority');
  options['grpc.ssl_target_name_override'] = flags.get('authority');
}
const client = new Echo(target, flags.has('tls') ? anyCertificate() : grpc.credentials.createInsecure(), options);
const deadline = () => Date.now() + PATIENCE;

function unary(payload, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    const seen = {};
    const call = client.Unary({ payload, number: 7 }, metadata, { deadline: deadline() }, (error, message) => {
      if (error) reject(error);
      else {
        seen.message = message;
        if (seen.status) resolve(seen);
      }
    });
    call.on('metadata', (initial) => { seen.metadata = initial; });
    call.on('status', (status) => {
      seen.status = status;
      if (seen.message) resolve(seen);
    });
  });
}

await play([
  ['unary, 0 byte to 1 MiB', async () => {
    for (const size of [0, 1, 1000, 16_384, 65_536, 1_048_576]) {
      const { message } = await unary(pattern(size));
      check(message.payload.equals(pattern(size)), `the echo of ${size} bytes differs`);
      same(message.number, 7, 'number');
    }
  }],
  ['metadata travels both ways, as header and trailer', async () => {
    const metadata = new grpc.Metadata();
    metadata.add('x-echo', 'one');
    metadata.add('x-echo', 'two');
    metadata.set('x-blob-bin', Buffer.from([0, 1, 254, 255]));
    const { metadata: initial, status } = await unary(Buffer.from('m'), metadata);
    same(initial.get('x-echo').join(', '), 'one, two', 'initial metadata');
    same(status.metadata.get('x-trailer').join(), 'unary', 'trailing metadata');
    same(status.code, grpc.status.OK, 'status');
  }],
  ['server stream', async () => {
    const call = client.ServerStream({ messages: 100, bytes: 20_000 }, { deadline: deadline() });
    let count = 0;
    for await (const message of call) {
      count += 1;
      same(message.number, count, 'order');
      check(message.payload.equals(pattern(20_000)), `message ${count} differs`);
    }
    same(count, 100, 'messages');
  }],
  ['client stream', async () => {
    const total = await new Promise((resolve, reject) => {
      const call = client.ClientStream({ deadline: deadline() }, (error, answer) => (error ? reject(error) : resolve(answer)));
      for (let number = 1; number <= 100; number += 1) call.write({ payload: pattern(10_000), number });
      call.end();
    });
    same(total.messages, 100, 'messages');
    same(total.bytes, 1_000_000, 'bytes');
  }],
  ['both ways, in step', async () => {
    const call = client.Both({ deadline: deadline() });
    const answers = call[Symbol.asyncIterator]();
    for (let number = 1; number <= 50; number += 1) {
      call.write({ payload: pattern(number * 100), number });
      const { value } = await answers.next();
      same(value.number, number, 'number');
      check(value.payload.equals(pattern(number * 100)), `message ${number} differs`);
    }
    call.end();
    same((await answers.next()).done, true, 'end of the stream');
  }],
  ['an error status comes with message and trailers', async () => {
    const error = await new Promise((resolve) => {
      client.Fail({ payload: Buffer.from('x') }, { deadline: deadline() }, (failure) => resolve(failure));
    });
    same(error?.code, grpc.status.FAILED_PRECONDITION, 'code');
    same(error.details, 'no: 100 % refused, é', 'message');
    same(error.metadata.get('x-why').join(), 'because the test asked for it', 'trailer');
  }],
  ['an unknown method is UNIMPLEMENTED', async () => {
    const error = await new Promise((resolve) => {
      const same = (value) => value;
      client.makeUnaryRequest('/seawall.test.Echo/Nothing', same, same, Buffer.alloc(0), new grpc.Metadata(), { deadline: deadline() }, (failure) => resolve(failure));
    });
    same(error?.code, grpc.status.UNIMPLEMENTED, 'code');
  }],
  ['fifty calls at once', async () => {
    const payloads = Array.from({ length: 50 }, (_, index) => pattern(1 + index * 997));
    const answers = await Promise.all(payloads.map((payload) => unary(payload)));
    answers.forEach(({ message }, index) => check(message.payload.equals(payloads[index]), `call ${index} differs`));
  }],
]);
