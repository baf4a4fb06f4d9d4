images:
  - name: nginx
    digest: sha256:<docker.io/library/nginx:1.27>
    newTag: 1.27
