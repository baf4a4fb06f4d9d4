# image = "nginx:1.27"
// image = "nginx:1.27"
/* image = "nginx:1.27"
   "unended */
locals {
  /* one */ image /* two */ = /* three */ "nginx:1.27" /* four */
  b = {
    image = "redis:7" # "unended
  }
  c = {
    image = "nginx:1.26"# close
  }
}
