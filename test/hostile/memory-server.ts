import { startHostileServer } from './hostile-server.ts';
import { misbehaviours } from './misbehaviour.ts';

/** A process of its own, so that only the sender's memory is measured: answers with every misbehaviour in turn. */
const server = await startHostileServer((socket, turn) => {
  misbehaviours[turn % misbehaviours.length]!.act(socket, turn);
});
process.on('disconnect', () => process.exit());
process.send!(server.port);
