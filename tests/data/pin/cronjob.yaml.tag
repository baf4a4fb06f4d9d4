apiVersion: batch/v1
kind: CronJob
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: backup
              image: ghcr.io/team/backup:2024-10-01_rc.1@sha256:<ghcr.io/team/backup:2024-10-01_rc.1>
              args: ["--image", "nginx:1.27"]
              command:
              - sh
              - -c
              - |
                echo image: nginx:1.27
          restartPolicy: OnFailure
