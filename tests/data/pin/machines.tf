resource "hcloud_server" "a" {
  image = "ubuntu-24.04"
}
resource "google_compute_instance" "b" {
  boot_disk {
    initialize_params {
      image = "debian-cloud/debian-12"
    }
  }
}
resource "docker_container" "c" {
  image = "nginx:1.27"
}
