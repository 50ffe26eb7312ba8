import type { ApiRoute, Schema } from './route.ts';

/** The OpenAPI 3.1 document of the API. */
export function openApiOf(routes: readonly ApiRoute[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'odontology-webhooks',
      version,
      description: 'Webhooks, deliveries and the audit log of odontology-webhooks.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Error: {
          type: 'object',
          properties: {
            message: { type: 'string', description: 'What is wrong.' },
            code: { type: 'string', description: 'The same in a stable word.' },
            remedy: { type: 'string', description: 'How to fix it, where that is known.' },
          },
          required: ['message', 'code'],
        },
      },
      responses: { Error: errorResponse },
    },
  };
}

const errorResponse = {
  description: 'What is wrong, in words and as a code.',
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
};

function operationOf({
  method,
  path,
  role,
  summary,
  params = {},
  query = {},
  body,
  answer = { type: 'object' },
  status = 200,
}: ApiRoute): object {
  const name = path.slice('/api/'.length).replace(/\W+(\w)/g, (_, letter: string) => letter.toUpperCase());
  const of = (place: 'path' | 'query', given: Readonly<Record<string, Schema>>): object[] =>
    Object.entries(given).map(([parameter, asked]) => {
      const { description, ...schema } = describe(asked) as Schema;
      return {
        name: parameter,
        in: place,
        required: place === 'path',
        ...(description !== undefined && { description }),
        schema,
      };
    });
  return {
    operationId: `${method.toLowerCase()}${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    summary,
    description: `For the role ${role}, and those above it.`,
    parameters: [...of('path', params), ...of('query', query)],
    ...(body && {
      requestBody: {
        required: !mayBeAbsent(body),
        content: { 'application/json': { schema: describe(body) } },
      },
    }),
    responses: {
      [status]: { description: 'Done.', content: { 'application/json': { schema: answer } } },
      default: { $ref: '#/components/responses/Error' },
    },
  };
}

function mayBeAbsent({ type }: Schema): boolean {
  return Array.isArray(type) && type.includes('null');
}

/** A schema as shown in the document: `mustBe` is appended to its description. */
function describe(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(describe);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { mustBe, ...rest } = schema as Schema;
  const inner = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, describe(value)]));
  if (typeof mustBe !== 'string') return inner;
  return { ...inner, description: [rest['description'], `Must be ${mustBe}.`].filter(Boolean).join(' ') };
}
