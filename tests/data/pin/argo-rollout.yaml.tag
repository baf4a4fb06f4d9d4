apiVersion: argoproj.io/v1alpha1
kind: Rollout
spec:
  template:
    spec:
      containers:
      - name: rollouts-demo
        image: argoproj/rollouts-demo:blue@sha256:<docker.io/argoproj/rollouts-demo:blue>
  strategy:
    canary:
      steps:
      - setWeight: 20
