import { clearCipher } from '../../src/crypto/cipher.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import { readCaptureState, writeMark } from '../../src/outbox/checkpoint.ts';

/** Marks a checkpoint that a test has moved with SQL, as if the program had moved it. */
export async function markCheckpoint(storeUrl: string): Promise<void> {
  const store = openStore(parseDatabaseUrl(storeUrl));
  try {
    const { epoch, checkpoint: from } = await readCaptureState(store);
    await writeMark(store, { marker: await openMarker(store, clearCipher), epoch, from });
  } finally {
    await store.close();
  }
}
