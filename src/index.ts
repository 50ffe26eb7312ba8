export { verifyWebhookSignature, type VerifyOptions } from './delivery/signature.ts';
