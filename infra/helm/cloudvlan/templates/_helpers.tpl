{{- define "cloudvlan.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: cloudvlan
{{- end }}

{{- define "cloudvlan.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* Secrets come readable by a group; our programs refuse what others may read, so they get copies of their own. */}}
{{- define "cloudvlan.ownCopies" -}}
name: own-copies
image: {{ include "cloudvlan.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [/bin/sh, -euc, "umask 077; {{ .script }}"]
securityContext: {{- include "cloudvlan.container" . | nindent 2 }}
{{- end }}

{{- define "cloudvlan.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "cloudvlan.pod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}
