spec:
  containers:
  - image: busybox:1.36
  - image: {{ .Values.image }}
