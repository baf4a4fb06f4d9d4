apiVersion: v1
kind: Pod
spec:
  containers:
  - name: app
    image: ghcr.io/team/app:stable@sha256:<ghcr.io/team/app:stable>
    volumeMounts:
    - {name: model, mountPath: /model}
  volumes:
  - name: model
    image:
      reference: quay.io/crio/artifact:v1@sha256:<quay.io/crio/artifact:v1>
      pullPolicy: IfNotPresent
  - name: other
    persistentVolumeClaim:
      reference: nginx:1.27
