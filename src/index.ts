export { verifyWebhookSignature, type VerifyOptions } from './delivery/send/signature.ts';
