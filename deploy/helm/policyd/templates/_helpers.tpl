{{- define "policyd.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- define "policyd.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "policyd.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- /* A table of policyd.toml: strings, numbers and truth values are written as JSON has them. */ -}}
{{- define "policyd.table" -}}
{{- range $key, $value := . }}
{{- if hasSuffix "_file" $key }}
{{ $key }} = {{ printf "/source/%s" $value | toJson }}
{{- else }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}
