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
          image = "nginx:1.27"
          name  = "web"
        }
        container {
          image="ghcr.io/team/app" // the app
          name = "app"
        }
      }
    }
  }
}
