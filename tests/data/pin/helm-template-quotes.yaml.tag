metadata:
  name: "{{ include "chart.fullname" . }}"
spec:
  image: busybox:1.36
