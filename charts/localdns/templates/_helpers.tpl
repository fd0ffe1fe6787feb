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
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
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

{{- define "localdns.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}
