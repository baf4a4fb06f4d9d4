resource "kubernetes_deployment" "shop" {
  metadata {
    name = "shop"
    labels = {
      image = "left, it has blanks"
    }
  }
  spec {
    template {
      spec {
        container {
          image = "nginx:1.27@sha256:<docker.io/library/nginx:1.27>"
          name  = "web"
        }
        container {
          image="ghcr.io/team/app:latest@sha256:<ghcr.io/team/app:latest>" // the app
          name = "app"
        }
      }
    }
  }
}
