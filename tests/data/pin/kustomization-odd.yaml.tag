images:
- name: a
  digest: sha256:<docker.io/library/a:v1>
  newTag: &t v1
- name: b
  digest: sha256:<docker.io/library/b:v2>
  newTag: # why
    v2
- name: c
  ? newTag
  : v3
- name: d
  newTag: *t
- name: e
  digest: sha256:<docker.io/library/e:v5>
  'newTag'  : 'v5' # fifth
