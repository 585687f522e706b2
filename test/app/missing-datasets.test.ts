import {mkdirSync, readdirSync} from 'node:fs';
import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {readConfig} from '../../src/config/layers.js';
import {datasets} from '../../src/datasets/known.js';
import {missingDatasets} from '../../src/app/missing-datasets.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const namesOf = (flags: Parameters<typeof readConfig>[0], home: string) =>
  missingDatasets(readConfig(flags, home), home).map(({name}) => name);

describe('what a config lacks', () => {
  it('is told for the presets by what they read', () => {
    expect(namesOf({preset: 'cifar100-cpu'}, '/home')).toEqual(['cifar100']);
    expect(namesOf({preset: 'cifar100'}, '/home')).toEqual(['cifar100', 'tiny-imagenet']);
    expect(namesOf({preset: 'demo'}, '/home')).toEqual([]);
  });

  it('does not hold a pool that another one takes the place of', () => {
    expect(namesOf({preset: 'cifar100', unlabelled: ['/pool']}, '/home')).toEqual(['cifar100']);
  });

  it('is told for any source that lies in the folder of a known data set, however it is written', () => {
    const home = '/a home';
    const sources = {
      labelled: `cifar10:${home}/data/cifar-10-batches-bin?split=train`,
      unlabelled: [`folder:${home}/data/tiny-imagenet-200/train`],
      test: `${home}/data/cifar-100-binary`,
    };
    expect(namesOf(sources, home)).toEqual(['cifar10', 'cifar100', 'tiny-imagenet']);
  });

  it('does not hold what lies elsewhere, has a similar name, or is there', async () => {
    const home = await temporaryFolder();
    mkdirSync(path.join(home, 'data/cifar-100-binary'), {recursive: true});
    const sources = {
      labelled: `cifar100:${home}/data/cifar-100-binary?split=train`,
      unlabelled: [`${home}/data/tiny-imagenet-200-mine`, '/elsewhere/data/tiny-imagenet-200/train'],
      test: `${home}/cifar-100-binary`,
    };
    expect(namesOf(sources, home)).toEqual([]);
    expect(readdirSync(path.join(home, 'data'))).toEqual(['cifar-100-binary']);
  });
});

it('every known data set has a checksum, a size, terms, and a name that people can type', () => {
  for (const {name, md5, bytes, address, terms, folder} of datasets) {
    expect(name).toMatch(/^[a-z0-9-]+$/);
    expect(md5).toMatch(/^[0-9a-f]{32}$/);
    expect(bytes).toBeGreaterThan(1e8);
    expect(address).toMatch(/^https?:\/\/\S+\/[a-z0-9-]+\.(tar\.gz|zip)$/);
    expect(terms).toMatch(/cite:.* 20\d\d/);
    expect(folder).toMatch(/^[a-z0-9-]+$/);
  }
});
