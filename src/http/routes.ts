import { createRequire } from 'node:module';
import { openApiOf } from './openapi.ts';
import type { ApiRoute } from './route.ts';
import { auditRoutes } from './routes/audit.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { replayRoutes } from './routes/replays.ts';
import { statusRoutes } from './routes/status.ts';
import { webhookRoutes } from './routes/webhooks.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

const openApi: ApiRoute = {
  method: 'GET',
  path: '/api/openapi.json',
  role: 'auditor',
  summary: 'This document.',
  handle: () => Promise.resolve(openApiOf(apiRoutes, version)),
};

/** Every route of the API. */
export const apiRoutes: readonly ApiRoute[] = [
  ...statusRoutes,
  ...webhookRoutes,
  ...deliveryRoutes,
  ...replayRoutes,
  ...auditRoutes,
  openApi,
];
