/** The `pack` task: decodes the images named on stdin into one pack. */
import {packItem, type PackItem, type Quarantined, type TaskOf, type TaskResult} from '../children/protocol.js';
import {writePack, type PackRow} from '../images/pack.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {trackProgress, type Emit} from './events.js';
import {WorkerFailure} from './failure.js';

const QUARANTINED_PER_EVENT = 100;

/** Packs in the order of stdin, less what cannot be decoded, which is told by `quarantined` events. */
export async function packImages(task: TaskOf<'pack'>, signal: AbortSignal, emit: Emit): Promise<TaskResult<'pack'>> {
  const count = trackProgress(emit, null);
  let quarantined: Quarantined[] = [];
  let quarantinedCount = 0;

  const sendQuarantined = async () => {
    if (quarantined.length > 0) await emit({type: 'quarantined', images: quarantined});
    quarantinedCount += quarantined.length;
    quarantined = [];
  };
  async function* items(): AsyncGenerator<[PackItem]> {
    for await (const item of readDescriptors(process.stdin, packItem, signal)) {
      const unknown = [...item.labels, ...(item.answers?.classes ?? [])].find(label => label >= task.classes.length);
      if (unknown !== undefined)
        throw new WorkerFailure('config', `Image ${item.id} has label ${unknown}, but there are ${task.classes.length} classes.`);
      yield [item];
    }
  }
  async function* rows(): AsyncGenerator<PackRow> {
    for await (const lot of decodeAhead(items(), {decoding: task.decoding, threads: task.threads, signal})) {
      for (const {item, pixels, problem} of lot) {
        if (problem === null) yield {id: item.id, pixels, labels: item.labels, answers: item.answers};
        else quarantined.push({id: item.id, problem});
      }
      if (quarantined.length >= QUARANTINED_PER_EVENT) await sendQuarantined();
      await count(lot.length);
    }
  }

  const {images, samples} = await writePack(task.output, {size: task.decoding.size, classes: task.classes, kept: task.kept}, rows());
  await sendQuarantined();
  return {images, samples, quarantined: quarantinedCount};
}
