import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { ApiToken, Role } from '../config/types.ts';
import type { Refusal } from './refusals.ts';

/** The caller: the token's name and role, never the token. */
export interface Actor {
  name: string;
  role: Role;
}

declare module 'fastify' {
  interface FastifyRequest {
    actor: Actor | null;
  }
}

/** A role has all permissions of the roles of lower rank. */
const rank: Readonly<Record<Role, number>> = { auditor: 1, operator: 2, admin: 3 };

const message = 'No autorizado';

const unauthenticated = (role: Role): Refusal => ({
  message,
  code: 'ERR_UNAUTHENTICATED',
  remedy: `Send a token with the role ${rolesFrom(role)}: Authorization: Bearer …; http.tokens of the configuration has their hashes.`,
});

const forbidden = (role: Role, own: Role): Refusal => ({
  message,
  code: 'ERR_FORBIDDEN',
  remedy: `Use a token with the role ${rolesFrom(role)}: this one has the role ${own}.`,
});

/** `operator or admin` */
const rolesFrom = (role: Role): string =>
  (['auditor', 'operator', 'admin'] as const).filter((each) => rank[each] >= rank[role]).join(' or ');

/**
 * Finds the actor of an `Authorization: Bearer …` header. Every configured token is compared, in constant time, by its
 * SHA-256, so that the response time reveals nothing.
 */
export function findActor(tokens: readonly ApiToken[], header: string | undefined): Actor | null {
  const token = /^Bearer ([\x21-\x7e]+)$/.exec(header ?? '')?.[1];
  if (token === undefined) return null;
  const given = createHash('sha256').update(token).digest();
  let found: Actor | null = null;
  for (const { name, role, sha256 } of tokens) {
    if (timingSafeEqual(given, Buffer.from(sha256, 'hex'))) found = { name, role };
  }
  return found;
}

/** Refuses a request without a valid token (401) or with a lower role (403). */
export function requireRole(role: Role): onRequestHookHandler {
  return (request: FastifyRequest, reply: FastifyReply, done) => {
    if (!request.actor) {
      void reply.code(401).header('www-authenticate', 'Bearer').send(unauthenticated(role));
    } else if (rank[request.actor.role] < rank[role]) {
      void reply.code(403).send(forbidden(role, request.actor.role));
    } else {
      done();
    }
  };
}
