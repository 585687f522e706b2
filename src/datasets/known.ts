/**
 * The data sets that pupil fetches by name: where they come from, what they are checked against, and on whose terms.
 */
import path from 'node:path';

export interface Dataset {
  /** As people type it. */
  readonly name: string;
  readonly title: string;
  readonly contents: string;
  /** The archive at its authors'. */
  readonly address: string;
  /** Of the archive. */
  readonly bytes: number;
  readonly md5: string;
  /** The folder that the archive holds, and that lies in data/ afterwards. */
  readonly folder: string;
  /** Room that unpacking takes at its height, in bytes on disk. */
  readonly unpackingBytes: number;
  /** What its authors ask of its users. */
  readonly terms: string;
}

const cifarTerms =
  'Its authors ask to cite: Alex Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. See https://www.cs.toronto.edu/~kriz/cifar.html';

/** Checksums of CIFAR as its page states them; of Tiny ImageNet, whose page states none, as its users do. */
export const datasets: readonly Dataset[] = [
  {
    name: 'cifar10',
    title: 'CIFAR-10',
    contents: '60,000 pictures of 32 px in 10 classes',
    address: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    bytes: 170_052_171,
    md5: 'c32a1d4ab5d03f1284b67883e8d87530',
    folder: 'cifar-10-batches-bin',
    unpackingBytes: 370_000_000,
    terms: cifarTerms,
  },
  {
    name: 'cifar100',
    title: 'CIFAR-100',
    contents: '60,000 pictures of 32 px in 100 classes',
    address: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    bytes: 168_513_733,
    md5: '03b5dce01913d631647c71ecec9e9cb8',
    folder: 'cifar-100-binary',
    unpackingBytes: 370_000_000,
    terms: cifarTerms,
  },
  {
    name: 'tiny-imagenet',
    title: 'Tiny ImageNet',
    contents: '120,000 pictures of 64 px in 200 classes',
    address: 'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
    bytes: 248_100_043,
    md5: '90528d7ca1a48142e341f4ef8d21d0de',
    folder: 'tiny-imagenet-200',
    // Most files are smaller than a block of the disk.
    unpackingBytes: 510_000_000,
    terms:
      "Its pictures are ImageNet's, for non-commercial research and education (https://www.image-net.org/download). To cite: Ya Le and Xuan Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015; Deng et al., ImageNet, CVPR 2009",
  },
];

/** The name of a data set's archive, wherever it is fetched from. */
export const archiveName = ({address}: Dataset): string => path.posix.basename(new URL(address).pathname);

export const datasetFolder = (home: string, {folder}: Dataset): string => path.join(home, 'data', folder);
