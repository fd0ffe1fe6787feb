import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** How an API server is told that pods of these priority classes need a quota: as GKE does for those of the system. */
export function limitingAdmission(folder: string, classes: readonly string[]): string[] {
  const apiVersion = 'apiserver.config.k8s.io/v1';
  const scope = { scopeName: 'PriorityClass', operator: 'In', values: classes };
  const configuration = {
    ...{ apiVersion, kind: 'ResourceQuotaConfiguration' },
    limitedResources: [{ resource: 'pods', matchScopes: [scope] }],
  };
  const file = join(folder, 'admission.json');
  const plugins = [{ name: 'ResourceQuota', configuration }];
  writeFileSync(file, JSON.stringify({ apiVersion, kind: 'AdmissionConfiguration', plugins }));
  return [`--admission-control-config-file=${file}`];
}
