// Sets pupil up, in a clone (npm run setup) and for an installed package (pupil setup): Node's side and Python's, side
// by side. Safe to run again; does only what is missing.
import process from 'node:process';
import {installCudaProvider} from './cuda-provider.mjs';
import {build, checkNode, installCompiledPackages, installNodePackages} from './node-packages.mjs';
import {isClone} from './places.mjs';
import {showProgress} from './progress.mjs';
import {checkGivenPython, makePythonEnvironment} from './python-environment.mjs';
import {SetupError, stepsOf} from './steps.mjs';

export {SetupError};

const NO_EXTRAS = {name: '', files: []};

async function setUpNode(step) {
  if (!isClone) return await installCompiledPackages(step);
  await installNodePackages(step);
  await build(step);
}

const setUpPython = async (step, extras) =>
  await (process.env.PUPIL_PYTHON
    ? checkGivenPython(step, process.env.PUPIL_PYTHON)
    : makePythonEnvironment(step, extras));

/**
 * `extras`: what the environment holds beside the trainer's own packages. `withPython: false` leaves Python's side out.
 * Resolves with whether anything was missing; throws a SetupError.
 */
export async function setUp({stream, signal, extras = NO_EXTRAS, withPython = true}) {
  const started = performance.now();
  const progress = showProgress(stream);
  const {step, ranAny} = stepsOf({progress, signal});
  try {
    checkNode();
    // What is under way when the other side fails is finished: it need not be done again.
    const sides = await Promise.allSettled([setUpNode(step), ...(withPython ? [setUpPython(step, extras)] : [])]);
    const failed = sides.filter(({status}) => status === 'rejected').map(({reason}) => reason);
    const other = failed.find(error => !(error instanceof SetupError));
    if (other !== undefined) throw other;
    if (failed.length > 0) throw new SetupError(failed.map(({message}) => message).join('\n\n'));
    if (withPython) await installCudaProvider(step);
    if (ranAny() && withPython)
      progress.say(
        `ready in ${((performance.now() - started) / 1000).toFixed(0)} s. Try: npx pupil ${isClone ? '--help' : 'demo'}`,
      );
    return ranAny();
  } finally {
    progress.end();
  }
}
