import { describe, expect, it } from 'vitest';
import { isExempt } from '../../src/delivery/send/proxy.ts';

describe('NO_PROXY', () => {
  it.each([
    ['*', 'anything.example', true],
    ['example.com', 'example.com', true],
    ['example.com', 'api.example.com', true],
    ['.example.com', 'api.example.com', true],
    ['.example.com', 'example.com', true],
    ['*.example.com', 'api.example.com', true],
    ['EXAMPLE.com', 'api.example.com', true],
    ['example.com', 'api.example.com.', true],
    ['example.com', 'badexample.com', false],
    ['api.example.com', 'example.com', false],
    ['example.com:443', 'example.com', true],
    ['example.com:8443', 'example.com', false],
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1:443', '127.0.0.1', true],
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.0/8', 'ten.example.com', false],
    ['::1', '[::1]', true],
    ['[::1]:443', '[::1]', true],
    ['[::1]:444', '[::1]', false],
    ['fd00::/8', '[fd12::1]', true],
    ['fd00::/8', '10.0.0.1', false],
    ['', 'example.com', false],
    ['.', 'example.com', false],
    ['0.0.0.1', '127.0.0.1', false],
  ])('%s, target %s: %s', (entry, hostname, expected) => {
    expect(isExempt({ hostname, port: 443 }, ['other.test', entry])).toBe(expected);
  });
});
