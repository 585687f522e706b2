"""The normalisation of ImageNet, which torchvision's networks, and most others, were trained with."""

# Of red, green and blue, as shares of the brightest.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
