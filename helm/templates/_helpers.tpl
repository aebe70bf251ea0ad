{{- define "infirmary.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "infirmary.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "infirmary.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "infirmary.selectorLabels" . }}
{{- end -}}

{{- define "infirmary.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "infirmary.dataVolume" -}}
{{- if .Values.persistence.enabled -}}
persistentVolumeClaim:
  claimName: {{ .Values.persistence.existingClaim | default (include "infirmary.fullname" .) }}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end -}}

{{- define "infirmary.env" -}}
- name: INFIRMARY_LIMITS__DRAIN_S
  value: {{ int .Values.drainSeconds | quote }}
{{- if .Values.config }}
- name: INFIRMARY_CONFIG
  value: /etc/infirmary/infirmary.toml
{{- end }}
{{- if .Values.weights.claim }}
- name: INFIRMARY_WEIGHTS
  value: /weights/{{ required "weights.file names the GGUF file in weights.claim" .Values.weights.file }}
{{- end }}
{{- range $setting, $key := .Values.secret.keys }}
- name: INFIRMARY_{{ upper $setting }}
  valueFrom:
    secretKeyRef:
      name: {{ required "secret.name names the Secret that has secret.keys" $.Values.secret.name }}
      key: {{ $key }}
{{- end }}
{{- end -}}
