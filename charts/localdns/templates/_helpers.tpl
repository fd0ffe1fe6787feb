{{/* The prefix of all names: the release's, which holds the chart's name already where people called the release so. */}}
{{- define "localdns.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "localdns.namespace" -}}{{ default .Release.Namespace .Values.namespaceOverride }}{{- end -}}
{{- define "localdns.operator.name" -}}{{ include "localdns.fullname" . }}-operator{{- end -}}
{{- define "localdns.agent.name" -}}{{ include "localdns.fullname" . }}-agent{{- end -}}

{{/* What makes a pod one of ours. Immutable in a Deployment and a DaemonSet, so nothing that changes may stand here. */}}
{{- define "localdns.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "localdns.labels" -}}
{{ include "localdns.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: localdns
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pods carry no chart version: a chart that changes nothing about them must not replace every agent of the cluster. */}}
{{- define "localdns.podLabels" -}}
{{ include "localdns.selectorLabels" . }}
app.kubernetes.io/part-of: localdns
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "localdns.operator.labels" -}}
{{ include "localdns.labels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "localdns.agent.labels" -}}
{{ include "localdns.labels" . }}
app.kubernetes.io/component: agent
{{- end -}}

{{/* GKE's API servers have versions such as v1.34.1-gke.100, where Helm asks one. */}}
{{- define "localdns.makesQuota" -}}
{{- if eq (toString .Values.resourceQuota.enabled) "auto" -}}
{{- contains "-gke." .Capabilities.KubeVersion.Version -}}
{{- else -}}
{{- .Values.resourceQuota.enabled -}}
{{- end -}}
{{- end -}}

{{- define "localdns.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* By equal bits an agent could not tell its own queries from pods', and does not start. */}}
{{- define "localdns.agent.checkMarks" -}}
{{- $marks := dict "intercept" "16" "own" "32" "gate" "64" -}}
{{- range .Values.agent.extraArgs -}}
{{- $option := regexFind "^--mark-(intercept|own|gate)=" . -}}
{{- if $option -}}
{{- $_ := set $marks (trimSuffix "=" (trimPrefix "--mark-" $option)) (trimPrefix $option . | int64 | toString) -}}
{{- end -}}
{{- end -}}
{{- if lt (len (uniq (values $marks))) 3 -}}
{{- fail "agent.extraArgs: --mark-intercept (0x10 where it is not given), --mark-own (0x20) and --mark-gate (0x40) are three different bits" -}}
{{- end -}}
{{- end -}}

{{/* What every pod has that runs the operator, whatever it does there. */}}
{{- define "localdns.operator.pod" -}}
serviceAccountName: {{ include "localdns.operator.name" . }}
# Thousands of Services would otherwise each put half a dozen variables into the environment.
enableServiceLinks: false
{{- with .Values.operator.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.operator.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "localdns.operator.container" -}}
image: {{ include "localdns.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  # What it reads is garbage a moment later. V8 would let that grow by itself to twice 32 MiB before it looks.
  - name: NODE_OPTIONS
    value: --max-semi-space-size=8
  # Where its Lease is, and by which name it holds it.
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with .Values.operator.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .Values.operator.resources | nindent 2 }}
{{- with .Values.operator.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
