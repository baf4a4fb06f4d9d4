# Größe, 大きさ, 🚢
"名前 🚢": ö
spec: # ünïcödé
  note: "日本語 🚢 image: x"
  image: nginx:1.27@sha256:<docker.io/library/nginx:1.27> # 日本語
  list: [{ü: 🚢, image: redis:7@sha256:<docker.io/library/redis:7>}, {"🚢": é, image: "ghcr.io/team/app:v1@sha256:<ghcr.io/team/app:v1>"}]
