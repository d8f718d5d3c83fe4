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

{{- define "moorage.s3Scheme" -}}
{{ ternary "https" "http" .Values.s3.tls.enabled }}
{{- end }}

{{- define "moorage.s3TlsSecret" -}}
{{ .Values.s3.tls.existing | default "moorage-s3-tls" }}
{{- end }}

{{/* Where the port that makes users is: a Service of its own. */}}
{{- define "moorage.s3AdminHost" -}}
moorage-s3-admin.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
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

{{/* The sets of NFS servers as {"sets": [...]}: nfs itself first, then its groups, in the values' order. */}}
{{- define "moorage.nfsSets" -}}
{{- $sets := list }}
{{- with .Values.nfs }}
{{- if .enabled }}
{{- $first := dict "name" "moorage-nfs" "component" "nfs" "at" "nfs" "backend" .backend "pool" .pool "replicas" .replicas "overcommit" .overcommit "mountOptions" .mountOptions }}
{{- $sets = list (set $first "values" (include "moorage.nfsServer" (dict "nfs" . "server" dict "replicas" .replicas "component" "nfs") | fromJson)) }}
{{- $nfs := . }}
{{- range .groups }}
{{- $component := printf "nfs-%s" .name }}
{{- $replicas := .replicas | default 1 }}
{{- $pool := mergeOverwrite (dict "size" $nfs.pool.size "storageClass" "" "accessMode" $nfs.pool.accessMode "hostPath" "") (deepCopy (.pool | default dict)) }}
{{- $group := dict "name" (printf "moorage-%s" $component) "component" $component "at" (printf "nfs.groups (%s)" .name) "pool" $pool "replicas" $replicas "overcommit" (.overcommit | default false) "mountOptions" (.mountOptions | default list) "nodeSelector" .nodeSelector "minNodes" .minNodes }}
{{- $group = set $group "backend" (dict "name" .name "default" (.default | default false)) }}
{{- $group = set $group "storageClass" (.storageClass | default dict) }}
{{- $sets = append $sets (set $group "values" (include "moorage.nfsServer" (dict "nfs" $nfs "server" (.server | default dict) "replicas" $replicas "component" $component) | fromJson)) }}
{{- end }}
{{- end }}
{{- end }}
{{- $places := dict }}
{{- range $sets }}
{{- include "moorage.checkStore" (dict "name" (printf "%s.pool" .at) "store" .pool) }}
{{- if .pool.hostPath }}
{{- if gt (int .replicas) 1 }}
{{- fail (printf "%s: pool.hostPath is one directory and replicas is %d: each server needs a pool of its own, so take claims (pool.storageClass) or groups with a directory each" .at (int .replicas)) }}
{{- end }}
{{- if hasKey $places .pool.hostPath }}
{{- fail (printf "%s and %s have the same pool.hostPath %s: two servers in one pool would destroy it" (get $places .pool.hostPath) .at .pool.hostPath) }}
{{- end }}
{{- $_ := set $places .pool.hostPath .at }}
{{- end }}
{{- end }}
{{- dict "sets" $sets | toJson }}
{{- end }}

{{/* Pod settings of a set of NFS servers: those of nfs, with what a group says of its own; they leave a dead node soon. */}}
{{- define "moorage.nfsServer" -}}
{{- $values := pick .nfs "serviceAccount" "priorityClassName" "nodeSelector" "tolerations" "affinity" "podAnnotations" "resources" | deepCopy }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "resources" }}
{{- if hasKey $.server $key }}{{ $_ := set $values $key (get $.server $key) }}{{ end }}
{{- end }}
{{- $tolerations := $values.tolerations | default list }}
{{- range $state := list "unreachable" "not-ready" }}
{{- $tolerations = append $tolerations (dict "key" (printf "node.kubernetes.io/%s" $state) "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $.nfs.leaveNodeAfterSeconds)) }}
{{- end }}
{{- $_ := set $values "tolerations" $tolerations }}
{{- if and (gt (int .replicas) 1) (not $values.affinity) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "moorage" "app.kubernetes.io/component" .component)) }}
{{- $_ := set $values "affinity" (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term)))) }}
{{- end }}
{{- $values | toJson }}
{{- end }}

{{/* Names of all StorageBackends of the release, in a line; two of one name are refused. */}}
{{- define "moorage.backendNames" -}}
{{- $names := list }}
{{- range (include "moorage.nfsSets" . | fromJson).sets }}{{ $names = append $names .backend.name }}{{ end }}
{{- with .Values.s3 }}{{ if .enabled }}{{ $names = append $names .backend.name }}{{ end }}{{ end }}
{{- with .Values.local }}{{ if .enabled }}{{ $names = append $names .backend.name }}{{ end }}{{ end }}
{{- range .Values.filers }}{{ $names = append $names .name }}{{ end }}
{{- if ne (len $names) (len (uniq $names)) }}
{{- fail (printf "two StorageBackends have the same name: %s (nfs.backend, nfs.groups, filers, local.backend, s3.backend)" (join ", " $names)) }}
{{- end }}
{{- include "moorage.checkClasses" . }}
{{- join " " $names }}
{{- end }}

{{/* Refuse two StorageClasses of one name. */}}
{{- define "moorage.checkClasses" -}}
{{- $classes := list "moorage-shared" "moorage-object" "moorage-local" }}
{{- range rest (include "moorage.nfsSets" . | fromJson).sets }}
{{- $classes = append $classes (include "moorage.className" (dict "backend" .backend.name "class" .storageClass)) }}
{{- end }}
{{- range .Values.filers }}{{ $classes = append $classes (include "moorage.className" (dict "backend" .name "class" .storageClass)) }}{{ end }}
{{- range $i, $name := compact $classes }}
{{- if has $name (slice (compact $classes) 0 $i) }}
{{- fail (printf "two StorageClasses have the same name: %s (give one of them another storageClass.name, or storageClass.create: false)" $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of the StorageClass of a group or filer; empty if it gets none. */}}
{{- define "moorage.className" -}}
{{- $class := .class | default dict }}
{{- if ne (get $class "create" | toString) "false" }}{{ $class.name | default (printf "moorage-%s" .backend) }}{{ end }}
{{- end }}

{{/* Who may use a backend, and how its volumes are mounted; of a set of NFS servers or a filer. */}}
{{- define "moorage.backendReach" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .minNodes }}
minNodes: {{ . }}
{{- end }}
{{- with .mountOptions }}
mountOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* StorageClass of a group of NFS servers or a filer: (dict "ctx" $ "backend" name "class" its storageClass). */}}
{{- define "moorage.backendClass" -}}
{{- $class := .class | default dict }}
{{- with include "moorage.className" . }}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: {{ . }}
  labels:
    {{- include "moorage.labels" (dict "ctx" $.ctx "component" "csi-controller") | nindent 4 }}
  {{- if $class.default }}
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
  {{- end }}
provisioner: csi.moorage.dev
parameters: {type: shared, backend: {{ $.backend }}}
reclaimPolicy: {{ $class.reclaimPolicy | default "Delete" }}
allowVolumeExpansion: true
volumeBindingMode: Immediate
{{- end }}
{{- end }}

{{/* Whether snapshots are offered, of $: "true" or nothing. auto: when the cluster knows VolumeSnapshots. */}}
{{- define "moorage.snapshotter" -}}
{{- $wanted := toString .Values.csiController.snapshotter }}
{{- if or (eq $wanted "true") (and (eq $wanted "auto") (.Capabilities.APIVersions.Has "snapshot.storage.k8s.io/v1")) }}true{{ end }}
{{- end }}

{{/* Of the pods that the operator starts for filers, what is for the cluster to say: JSON of a pod's spec. */}}
{{- define "moorage.filerPod" -}}
{{- $v := .Values.filerWorker -}}
{{- $spec := dict "resources" $v.resources -}}
{{- range $key := list "tolerations" "nodeSelector" "affinity" "priorityClassName" }}
{{- with index $v $key }}{{ $_ := set $spec $key . }}{{ end }}
{{- end -}}
{{- with .Values.imagePullSecrets }}{{ $_ := set $spec "imagePullSecrets" . }}{{ end -}}
{{- if $v.hostNetwork }}{{ $_ := merge $spec (dict "hostNetwork" true "dnsPolicy" "ClusterFirstWithHostNet") }}{{ end -}}
{{- toJson $spec -}}
{{- end }}
