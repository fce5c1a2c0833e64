// The service that grpc-server.mjs and grpc-client.mjs speak.

import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const definition = loader.loadSync(fileURLToPath(new URL('./echo.proto', import.meta.url)), { longs: Number, defaults: true });

/** Client constructor and service definition of `seawall.test.Echo`. */
export const Echo = grpc.loadPackageDefinition(definition).seawall.test.Echo;
