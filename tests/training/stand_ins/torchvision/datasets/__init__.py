from torchvision import refuse


class ImageFolder:
    __init__ = refuse
