import { toJson } from '../../audit/to-json.ts';
import { eventTypesAnswer, meAnswer, statusAnswer } from '../answers.ts';
import type { ApiRoute } from '../route.ts';

/** State of the daemon, its webhooks and its event types. */
export const statusRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/status',
    role: 'auditor',
    summary: 'Position, queue and webhooks now.',
    answer: statusAnswer,
    handle: (_request, { status }) => status(),
  },
  {
    method: 'GET',
    path: '/api/events',
    role: 'auditor',
    summary: 'Every event type with its rule and its fields.',
    answer: eventTypesAnswer,
    handle: (_request, { eventTypes }) => Promise.resolve(toJson(eventTypes()) as object),
  },
  {
    method: 'GET',
    path: '/api/me',
    role: 'auditor',
    summary: 'Whose token this is, and what it may do.',
    answer: meAnswer,
    handle: ({ actor: { name, role } }) => Promise.resolve({ name, role }),
  },
];
