{{/* Everything here is called with (dict "ctx" $ "component" "csi-node" "values" .Values.csiNode) unless said otherwise. */}}

{{- define "moorage.selector" -}}
app.kubernetes.io/name: moorage
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "moorage.labels" -}}
{{ include "moorage.selector" . }}
app.kubernetes.io/part-of: moorage
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" }}
{{- with .ctx.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Pod labels carry no chart version: a new chart alone must not restart a server that nodes have mounted. */}}
{{- define "moorage.podMetadata" -}}
labels:
  {{- include "moorage.selector" . | nindent 2 }}
  {{- with .ctx.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .container }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "moorage.serviceAccountName" -}}
{{- if .values.serviceAccount.create }}{{ .values.serviceAccount.name | default (printf "moorage-%s" .component) }}
{{- else }}{{ required (printf "serviceAccount.create is false: name the ServiceAccount of %s in serviceAccount.name" .component) .values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "moorage.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "moorage.serviceAccountName" . }}
  namespace: {{ .ctx.Release.Namespace }}
  labels:
    {{- include "moorage.labels" . | nindent 4 }}
  {{- $hooks := .hooks | default dict }}
  {{- with merge (deepCopy .values.serviceAccount.annotations) $hooks }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# Tokens are mounted only where a pod spec asks for one.
automountServiceAccountToken: false
{{- end }}

{{/* Where a pod runs and who may pull its images. */}}
{{- define "moorage.scheduling" -}}
{{- with .ctx.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Image reference of (dict "ctx" $ "image" .Values.images.moorage). */}}
{{- define "moorage.image" -}}
{{- $name := printf "%s/%s" .image.registry .image.repository -}}
{{- if .image.digest }}{{ $name }}@{{ .image.digest }}{{ else }}{{ $name }}:{{ .image.tag | default .ctx.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "moorage.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: PYTHONUNBUFFERED, value: "1"}
- {name: MOORAGE_LOG_LEVEL, value: {{ .ctx.Values.logLevel }}}
{{- end }}

{{/* With "probeHost" "127.0.0.1" for pods in the node's network, whose health port stays on the node. Probes ask the process over HTTP. None touches a mount: a hung server must not get healthy pods killed. */}}
{{- define "moorage.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health{{ with .probeHost }}, host: {{ . }}{{ end }}}
  periodSeconds: 1
  failureThreshold: {{ .startupSeconds | default 60 }}
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: health{{ with .probeHost }}, host: {{ . }}{{ end }}}
  periodSeconds: 10
  failureThreshold: 6
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: health{{ with .probeHost }}, host: {{ . }}{{ end }}}
  periodSeconds: 3
  failureThreshold: 3
  timeoutSeconds: 3
{{- end }}

{{/* Unprivileged pods, the "restricted" Pod Security Standard. */}}
{{- define "moorage.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "moorage.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "moorage.s3Secret" -}}
{{ .Values.s3.rootSecret.existing | default "moorage-s3-root" }}
{{- end }}

{{- define "moorage.s3Host" -}}
moorage-s3.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* Refuse two places for one pool; of (dict "name" "nfs.pool" "store" .Values.nfs.pool). */}}
{{- define "moorage.checkStore" -}}
{{- if and .store.hostPath .store.storageClass }}
{{- fail (printf "%s: hostPath (%s) and storageClass (%s) exclude each other: leave one of them empty" .name .store.hostPath .store.storageClass) }}
{{- end }}
{{- end }}
