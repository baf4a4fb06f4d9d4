apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
spec:
  images:
    - name: podinfo
      newName: ghcr.io/stefanprodan/podinfo
      digest: sha256:<ghcr.io/stefanprodan/podinfo:6.7.1>
      newTag: 6.7.1
