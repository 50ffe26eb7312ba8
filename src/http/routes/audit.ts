import { listActs } from '../../audit/act/acts.ts';
import { listAccess } from '../../audit/deliveries.ts';
import { erasePatientNumbers, knowsPatient, unknownPatient } from '../../audit/erase.ts';
import { headJson, readHead } from '../../audit/seal/head.ts';
import { recordAct } from '../../audit/act/record-act.ts';
import { toJson } from '../../audit/to-json.ts';
import { verifyLog } from '../../audit/verify.ts';
import { actionValue, nameValue, reasonValue } from '../../config/setting/query-value.ts';
import { storedKey } from '../../outbox/append/lane.ts';
import { accessAnswer, actAnswer, erasedAnswer, pageOf } from '../answers.ts';
import { asked, object, paging, pagingOf, period, periodOf, type ApiRoute } from '../route.ts';

const patient = { patient: asked(nameValue, 'As the clinic numbers patients.') };

/** The acts, the verification of the log, and the disclosure and erasure of a patient's data. */
export const auditRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/audit',
    role: 'auditor',
    summary: 'Who did what, newest first.',
    answer: pageOf('acts', actAnswer),
    query: {
      actor: asked(nameValue),
      action: asked(actionValue, 'An action, or noun.*'),
      target: asked(nameValue),
      ...period,
      ...paging,
    },
    async handle({ query }, { vault: { store } }) {
      const { actor, action, target } = query;
      const filter = {
        ...periodOf(query),
        ...(actor !== undefined && { actor }),
        ...(action !== undefined && { action }),
        ...(target !== undefined && { target }),
      };
      const { items, nextCursor } = await listActs(store, filter, pagingOf(query));
      return { acts: toJson(items), next_cursor: nextCursor };
    },
  },
  {
    method: 'GET',
    path: '/api/audit/head',
    role: 'auditor',
    summary: 'The end of the sealed log, to be kept elsewhere; null before the first seal.',
    async handle(_request, { vault: { store } }) {
      const head = await readHead(store);
      return { head: head && headJson(head) };
    },
  },
  {
    method: 'POST',
    path: '/api/audit/verify',
    role: 'auditor',
    summary: 'Walks the sealed log and names the first flaw. Takes as long as the log is.',
    async handle({ actor }, { vault }) {
      const verification = await verifyLog(vault);
      const { ok, lastSeal } = verification;
      const details = { ok, last_seal: lastSeal };
      await recordAct(vault.store, vault.cipher, { actor, action: 'audit.verify', details });
      return { verification: toJson(verification) as object };
    },
  },
  {
    method: 'GET',
    path: '/api/patients/:patient/deliveries',
    role: 'auditor',
    summary: 'Who received what about a patient. That it was asked is put on record.',
    answer: pageOf('deliveries', accessAnswer),
    params: patient,
    query: { ...period, ...paging },
    async handle({ actor, params, query }, { vault }) {
      const asked = params['patient']!;
      const about = { patient: asked, ...periodOf(query) };
      const act = { actor, action: 'patient.access', target: storedKey(asked) };
      await recordAct(vault.store, vault.cipher, act);
      if (!(await knowsPatient(vault.store, asked))) throw unknownPatient([asked]);
      const { items, nextCursor } = await listAccess(vault, about, pagingOf(query));
      return { deliveries: toJson(items), next_cursor: nextCursor };
    },
  },
  {
    method: 'POST',
    path: '/api/patients/:patient/erase',
    role: 'admin',
    summary:
      "Makes a patient's payloads unreadable in the store and, where there is a key file, in all copies of the store; `also`: further numbers of this patient.",
    answer: erasedAnswer,
    params: patient,
    body: object(
      { reason: asked(reasonValue), also: { type: 'array', items: asked(nameValue), maxItems: 100 } },
      ['reason'],
    ),
    async handle({ actor, params, body }, { vault, backlog }) {
      const { reason, also = [] } = body as { reason: string; also?: string[] };
      const patients = [...new Set([params['patient']!, ...also])];
      const { logEnd, behindBytes } = await backlog();
      const erased = await erasePatientNumbers(vault, { patients, reason, actor, logEnd });
      if (erased.unknown.length === patients.length) throw unknownPatient(patients);
      return { success: true, ...(toJson({ ...erased, behindBytes }) as object) };
    },
  },
];
