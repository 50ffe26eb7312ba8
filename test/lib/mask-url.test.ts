import { describe, expect, it } from 'vitest';
import { maskUrl } from '../../src/lib/mask-url.ts';

describe('a URL as people see it', () => {
  it.each([
    ['https://api.example.com/webhooks/payments'],
    ['https://api.example.com'],
    ['https://api.example.com/'],
    ['https://api.example.com:8443/v1/IncomingWebhook/new-payment/hook.php'],
    ['http://127.0.0.1:43207/webhooks'],
    ['http://[fd00::5]:9000/hooks/12345/'],
    ['https://n8n.example/webhook/cl%C3%ADnica'],
    ['https://api.example.com/API/v2//double/'],
  ])('stays as it is, to the byte: %s', (url) => {
    expect(maskUrl(url)).toBe(url);
  });

  it.each([
    // Slack, Discord, Telegram, Teams, Zapier, Make, IFTTT, Mattermost, Google Chat, a JWT, a UUID, hex, base64.
    [
      'https://hooks.slack.com/services/T024BE7LD/B024BE7LH/aBcDeFgHiJkLmNoPqRsTuVwX',
      'https://hooks.slack.com/services/T024BE7LD/B024BE7LH/***',
    ],
    [
      'https://hooks.slack.com/services/T00000000/B00000000/AAAAAAAAAAAAAAAAAAAAAAAA',
      'https://hooks.slack.com/services/T00000000/B00000000/***',
    ],
    [
      'https://discord.com/api/webhooks/112233445566778899/x-Yz_0123456789abcdefABCDEF',
      'https://discord.com/api/webhooks/***/***',
    ],
    [
      'https://api.telegram.org/bot123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11/sendMessage',
      'https://api.telegram.org/***/sendMessage',
    ],
    [
      'https://x.webhook.office.com/webhookb2/1111a@22b/IncomingWebhook/33c33c33c33c/44d',
      'https://x.webhook.office.com/webhookb2/***/IncomingWebhook/***/***',
    ],
    [
      'https://hooks.zapier.com/hooks/catch/123456/b1x2y3z/',
      'https://hooks.zapier.com/hooks/catch/123456/***/',
    ],
    ['https://hook.eu1.make.com/abcdefghijklmnopqrstuvwxyz123456', 'https://hook.eu1.make.com/***'],
    [
      'https://maker.ifttt.com/trigger/paid/with/key/dEf-0123456789',
      'https://maker.ifttt.com/trigger/paid/with/key/***',
    ],
    ['https://mm.example/hooks/xen8zw1dj3ffxbk8s4c6zb5o9h', 'https://mm.example/hooks/***'],
    ['https://a.example/x?key=AIza1&token=b%20c&plain&=v', 'https://a.example/x?key=***&token=***&***&=***'],
    ['https://a.example/x?', 'https://a.example/x?'],
    ['https://a.example/eyJhbGciOi.eyJzdWIi.SflKxwRJ', 'https://a.example/***'],
    ['https://a.example/123e4567-e89b-12d3-a456-426614174000', 'https://a.example/***'],
    ['https://a.example/0123456789abcdef', 'https://a.example/***'],
    ['https://a.example/qwxzvbnmlkjhgfdsaqw', 'https://a.example/***'],
    ['https://user:pass@a.example/x', 'https://***@a.example/x'],
    ['https://user@na:pa@ss@a.example/x', 'https://***@a.example/x'],
    ['https://a.example/x#secret', 'https://a.example/x#***'],
    ['https://a.example/%E0%A4%A/x', 'https://a.example/***/x'],
    ['whsec_nothing', '***'],
  ])('has no credential: %s', (url, shown) => {
    expect(maskUrl(url)).toBe(shown);
    expect(maskUrl(shown)).toBe(shown);
  });
});
