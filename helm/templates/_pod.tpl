{{- define "infirmary.podSpec" -}}
serviceAccountName: {{ include "infirmary.fullname" . }}
automountServiceAccountToken: false
# A service named infirmary would give its pods INFIRMARY_PORT=tcp://..., which is no port to listen on.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add (int .Values.drainSeconds) 30 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: infirmary
    image: {{ include "infirmary.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    {{- with include "infirmary.env" . }}
    env:
      {{- . | trim | nindent 6 }}
    {{- end }}
    ports:
      - name: http
        containerPort: 8000
    # The Service still sends requests to a pod that is told to end: until that has spread, it serves on.
    lifecycle:
      preStop:
        exec:
          command: [sleep, "5"]
    startupProbe:
      httpGet:
        path: /healthz
        port: http
      periodSeconds: 2
      failureThreshold: 90
    livenessProbe:
      httpGet:
        path: /healthz
        port: http
    readinessProbe:
      httpGet:
        path: /readyz
        port: http
      periodSeconds: 5
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      - name: data
        mountPath: /var/lib/infirmary
      - name: tmp
        mountPath: /tmp
      {{- if .Values.config }}
      - name: config
        mountPath: /etc/infirmary
        readOnly: true
      {{- end }}
      {{- if .Values.weights.claim }}
      - name: weights
        mountPath: /weights
        readOnly: true
      {{- end }}
volumes:
  - name: data
    {{- include "infirmary.dataVolume" . | nindent 4 }}
  - name: tmp
    emptyDir: {}
  {{- if .Values.config }}
  - name: config
    configMap:
      name: {{ include "infirmary.fullname" . }}
  {{- end }}
  {{- with .Values.weights.claim }}
  - name: weights
    persistentVolumeClaim:
      claimName: {{ . }}
      readOnly: true
  {{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
