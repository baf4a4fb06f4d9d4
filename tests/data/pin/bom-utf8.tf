locals {
  größe = "🚢" # ü
  a     = { "🚢" = "ß", image = "nginx:1.27" }
  image = "redis:7" # ü
}
