/** Container images as files (the OCI image layout in a tar archive), made without a daemon, a registry or a base image. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { arch } from 'node:os';
import { dirname } from 'node:path';
import { type TarEntry, tar } from './tar.ts';

export interface ImageConfig {
  Entrypoint?: string[];
  Cmd?: string[];
  Env?: string[];
  WorkingDir?: string;
}

export interface Image {
  /** With its registry and tag, as pods name it. */
  name: string;
  /** The archive that `ctr images import` takes. */
  path: string;
  /** Unpacked. */
  octets: number;
}

/** An image of one layer. Folders on the way to its files are made. */
export function writeImage(path: string, name: string, config: ImageConfig, files: readonly TarEntry[]): Image {
  const layerFile = `${path}.layer`;
  const layer = save(layerFile, tar(withFolders(files)));
  const blobs = new Map<string, Buffer>();
  const add = (mediaType: string, value: object) => {
    const content = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    blobs.set(digest, content);
    return { mediaType, digest, size: content.length };
  };
  const manifest = add('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: add('application/vnd.oci.image.config.v1+json', {
      ...{ architecture: arch() === 'x64' ? 'amd64' : arch(), os: 'linux', config },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
    }),
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer }],
  });
  const index = {
    schemaVersion: 2,
    manifests: [{ ...manifest, annotations: { 'io.containerd.image.name': name } }],
  };
  const blobPath = (digest: string) => `blobs/${digest.replace(':', '/')}`;
  save(
    path,
    tar(
      withFolders([
        { path: 'oci-layout', mode: 0o644, content: JSON.stringify({ imageLayoutVersion: '1.0.0' }) },
        { path: 'index.json', mode: 0o644, content: JSON.stringify(index) },
        ...[...blobs].map(([digest, content]) => ({ path: blobPath(digest), mode: 0o644, content })),
        { path: blobPath(layer.digest), mode: 0o644, source: layerFile },
      ]),
    ),
  );
  rmSync(layerFile);
  return { name, path, octets: layer.size };
}

function* withFolders(entries: readonly TarEntry[]): Generator<TarEntry> {
  const made = new Set<string>();
  for (const entry of entries) {
    for (const folder of foldersTo(entry.path).filter((one) => !made.has(one))) {
      made.add(folder);
      yield { path: folder, mode: 0o755 };
    }
    yield entry;
  }
}

function foldersTo(path: string): string[] {
  const above = dirname(path);
  return above === '.' ? [] : [...foldersTo(above), above];
}

function save(path: string, pieces: Iterable<Buffer>): { digest: string; size: number } {
  const hash = createHash('sha256');
  const file = openSync(path, 'w');
  let size = 0;
  try {
    for (const piece of pieces) {
      hash.update(piece);
      size += piece.length;
      for (let at = 0; at < piece.length; ) at += writeSync(file, piece, at);
    }
  } finally {
    closeSync(file);
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}
