import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'vitest';
import { apiRoutes } from '../../src/http/routes.ts';

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false });
const routes = apiRoutes
  .filter(({ answer }) => answer !== undefined)
  .map(({ method, path, answer }) => ({
    method,
    path: new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}$`),
    isAsDescribed: ajv.compile(answer!),
  }));

/** Fails if a successful answer does not match the OpenAPI document. */
export function checkAnswer(method: string, url: string, status: number, body: unknown): void {
  const path = url.split('?')[0]!;
  const route = routes.find((each) => each.method === method && each.path.test(path));
  if (!route || status >= 300) return;
  route.isAsDescribed(body);
  expect({ url, wrong: route.isAsDescribed.errors ?? [] }).toEqual({ url, wrong: [] });
}
