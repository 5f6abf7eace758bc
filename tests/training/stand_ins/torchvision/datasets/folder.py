from torchvision import refuse as default_loader  # noqa: F401
