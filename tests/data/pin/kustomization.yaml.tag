apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- deployment.yaml
images:
- name: nginx
  digest: sha256:<docker.io/library/nginx:1.27>
  newTag: "1.27"
- digest: sha256:<ghcr.io/team/app:v3>
  newTag: v3 # the app's
  name: app
  newName: ghcr.io/team/app
- name: redis
  newTag: 7.2.0
  digest: sha256:<old>
- name: memcached
  digest: sha256:<old> # was 1.6
- name: haproxy
  digest: sha256:<old>
- name: postgres
  newName: registry.example.com/postgres
- name: envoy
  newTag: ${TAG}
  digest: ""
- name: vault
  newTag: 1.17.0
  digest: "sha256:<docker.io/library/vault:1.17.0>"
